"""Requests of the Open Inference Protocol for any bundle, made of its golden rows over and over."""

from functools import lru_cache
from pathlib import Path

import open_inference_pb2 as oip
from google.protobuf.message import DecodeError
from jobcast_proto.manifest import Manifest

from jobcast_bench.answers import Check
from jobcast_bench.infer import raw_of
from jobcast_bench.inprocess import golden_columns

VARIANTS = 16


@lru_cache(maxsize=4)
def golden_requests(bundle: Path, rows: int) -> tuple[bytes, ...]:
    """Serialised ModelInferRequests of `rows` rows with raw contents; each begins with another golden row."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    columns = golden_columns(bundle, rows + VARIANTS)
    made = []
    for variant in range(VARIANTS):
        request = oip.ModelInferRequest(model_name=bundle.parent.name, id=f"golden-{variant}")
        for spec in manifest.inputs:
            values = columns[spec.name][variant : variant + rows]
            datatype, raw = raw_of(spec, values)
            request.inputs.add(name=spec.name, datatype=datatype, shape=values.shape)
            request.raw_input_contents.append(raw)
        made.append(request.SerializeToString())
    return tuple(made)


def check_golden(rows: int) -> Check:
    """A check of answers: outputs of `rows` rows, for the request that was sent."""

    def check(request: bytes, answer: bytes) -> str | None:
        asked = oip.ModelInferRequest.FromString(request)
        try:
            told = oip.ModelInferResponse.FromString(answer)
        except DecodeError as error:
            return f"not a ModelInferResponse: {error}"
        if told.id != asked.id:
            return f"id: sent {asked.id!r}, answered {told.id!r}"
        shapes = {output.name: list(output.shape) for output in told.outputs}
        good = bool(shapes) and all(shape[:1] == [rows] for shape in shapes.values())
        return None if good else f"outputs: {shapes}, not {rows} rows each"

    return check
