"""Requests of the Open Inference Protocol: the same rows in both forms, and answers held to the bit."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import open_inference_pb2 as oip
import pytest
from jobcast_bench.infer import check_infer, check_rest, expected, infer_requests, rest_requests
from jobcast_bench.inprocess import columns, newest_bundle

MODELS = Path(__file__).resolve().parents[2] / "models"
FOUND = newest_bundle(MODELS)
assert FOUND is not None
BUNDLE: Path = FOUND
NUMPY = {"FP64": "<f8", "INT64": "<i8"}


def decoded(request: oip.ModelInferRequest) -> dict[str, np.ndarray]:
    rows = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if tensor.datatype == "BYTES":
            assert int.from_bytes(raw[:4], "little") == len(raw) - 4
            rows[tensor.name] = np.array([[raw[4:].decode()]], dtype=object)
        else:
            rows[tensor.name] = np.frombuffer(raw, NUMPY[tensor.datatype]).reshape(tensor.shape)
    return rows


def test_both_forms_carry_the_same_rows() -> None:
    wanted = columns(BUNDLE, 512, seed=5)
    rest = rest_requests(BUNDLE, 5, "127.0.0.1:1")
    for index, message in enumerate(infer_requests(BUNDLE, 5)):
        request = oip.ModelInferRequest.FromString(message)
        assert (request.model_name, request.id) == ("hpc-runtime", f"bench-{index}")
        rows = decoded(request)
        body = json.loads(rest[index].partition(b"\r\n\r\n")[2])
        assert [tensor["name"] for tensor in body["inputs"]] == list(rows)
        for tensor in body["inputs"]:
            own = wanted[tensor["name"]][index : index + 1]
            plain = np.array(tensor["data"], dtype=own.dtype).reshape(tensor["shape"])
            for other in (rows[tensor["name"]], plain):
                assert own.dtype == other.dtype
                np.testing.assert_array_equal(own, other)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert infer_requests.__wrapped__(BUNDLE, 5) == infer_requests.__wrapped__(BUNDLE, 5)
    assert infer_requests(BUNDLE, 5) != infer_requests(BUNDLE, 6)


@pytest.fixture(scope="module")
def exchange() -> tuple[bytes, oip.ModelInferResponse]:
    """A request, and the answer that plain onnxruntime gives."""
    message = infer_requests(BUNDLE, 5)[3]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would sum the trees in another order
    graph = onnxruntime.InferenceSession(BUNDLE / "model.onnx", options, providers=["CPUExecutionProvider"])
    quantiles, point = graph.run(["quantiles", "point"], decoded(oip.ModelInferRequest.FromString(message)))
    answer = oip.ModelInferResponse(id="bench-3", raw_output_contents=[point.tobytes(), quantiles.tobytes()])
    answer.outputs.add(name="point")
    answer.outputs.add(name="quantiles")
    return message, answer


def test_the_graphs_own_answer_is_right(exchange: tuple[bytes, oip.ModelInferResponse]) -> None:
    message, answer = exchange
    assert check_infer(BUNDLE, 5, exact=True)(message, answer.SerializeToString()) is None


def test_one_wrong_bit_is_found_where_bits_are_promised(exchange: tuple[bytes, oip.ModelInferResponse]) -> None:
    message, right = exchange
    answer = oip.ModelInferResponse()
    answer.CopyFrom(right)
    flipped = bytearray(answer.raw_output_contents[1])
    flipped[0] ^= 1
    answer.raw_output_contents[1] = bytes(flipped)
    told = check_infer(BUNDLE, 5, exact=True)(message, answer.SerializeToString())
    assert told is not None
    assert "bit for bit" in told
    assert check_infer(BUNDLE, 5, exact=False)(message, answer.SerializeToString()) is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"\xff", "not a ModelInferResponse"),
        (oip.ModelInferResponse(id="bench-3").SerializeToString(), "no quantiles"),
        (oip.ModelInferResponse(id="bench-4"), "id: sent 'bench-3', answered 'bench-4'"),
    ],
)
def test_what_is_no_answer_is_said(
    exchange: tuple[bytes, oip.ModelInferResponse], answer: bytes | oip.ModelInferResponse, told: str
) -> None:
    message, right = exchange
    if isinstance(answer, oip.ModelInferResponse):
        other = oip.ModelInferResponse()
        other.CopyFrom(right)
        other.MergeFrom(answer)
        answer = other.SerializeToString()
    found = check_infer(BUNDLE, 5, exact=False)(message, answer)
    assert found is not None
    assert told in found


def test_json_answers_are_held_to_the_same_bits() -> None:
    message = rest_requests(BUNDLE, 5, "127.0.0.1:1")[3]
    check = check_rest(BUNDLE, 5, exact=True)
    quantiles = np.frombuffer(expected(BUNDLE, 5)["bench-3"], "<f4").tolist()

    def answer(values: list[float]) -> bytes:
        return json.dumps({"id": "bench-3", "outputs": [{"name": "quantiles", "data": values}]}).encode()

    assert check(message, answer(quantiles)) is None
    moved = [float(np.nextafter(np.float32(quantiles[0]), np.float32(np.inf))), *quantiles[1:]]
    assert "bit for bit" in str(check(message, answer(moved)))
    assert "no JSON answer" in str(check(message, b'{"id": "bench-3", "outputs": []}'))
