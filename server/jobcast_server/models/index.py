"""What a running server serves: its repository index over gRPC."""

import grpc
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc

Index = dict[tuple[str, str], tuple[str, str]]
"""State and reason by name and version."""


class NoAnswerError(Exception):
    """The server at an address gave no index."""


def ask(address: str, timeout: float) -> Index:
    """The index of the server at `host:port`.

    Raises:
        NoAnswerError: says why there is none.
    """
    try:
        with grpc.insecure_channel(address) as channel:
            answer = rpc.GRPCInferenceServiceStub(channel).RepositoryIndex(pb.RepositoryIndexRequest(), timeout=timeout)
    except grpc.RpcError as error:
        raise NoAnswerError(f"no index from {address}: {error.code().name}: {error.details()}") from None
    return {(model.name, model.version): (model.state, model.reason) for model in answer.models}
