"""Requests of the Open Inference Protocol, mostly one job each: the same rows as gRPC messages and as HTTP messages.

An answer is right when its quantiles have the very bits that the graph gives for those rows in plain onnxruntime.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import open_inference_pb2 as oip
from google.protobuf.message import DecodeError
from jobcast_proto.manifest import InputSpec, Manifest

from jobcast_bench.answers import Check
from jobcast_bench.http1 import post
from jobcast_bench.inprocess import columns, golden_columns, session

VARIANTS = 512
LARGE_VARIANTS = 16
"""Requests of more than one row."""

OUTPUT = "quantiles"
_TYPES = {"float64": ("FP64", "<f8"), "int64": ("INT64", "<i8"), "string": ("BYTES", "")}

Row = dict[str, np.ndarray[Any, Any]]


@lru_cache(maxsize=4)
def _rows(bundle: Path, seed: int, rows: int = 1) -> tuple[list[InputSpec], list[Row]]:
    """The inputs of the model, and the columns of each request, whose rows begin one further than the last one's."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    contract, variants = bundle.parent.name == "hpc-runtime", VARIANTS if rows == 1 else LARGE_VARIANTS
    count = variants + rows - 1
    made = columns(bundle, count, seed) if contract else golden_columns(bundle, count)
    return manifest.inputs, [
        {name: values[index : index + rows] for name, values in made.items()} for index in range(variants)
    ]


def raw_of(spec: InputSpec, values: np.ndarray[Any, Any]) -> tuple[str, bytes]:
    """Datatype and raw contents of an input."""
    datatype, layout = _TYPES[spec.type]
    if spec.type != "string":
        return datatype, values.astype(layout).tobytes()
    texts = [text.encode() for text in values.ravel()]
    return datatype, b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _request(index: int, model: str, specs: list[InputSpec], row: Row) -> bytes:
    request = oip.ModelInferRequest(model_name=model, id=f"bench-{index}")
    for spec in specs:
        values = row[spec.name]
        datatype, raw = raw_of(spec, values)
        request.inputs.add(name=spec.name, datatype=datatype, shape=values.shape)
        request.raw_input_contents.append(raw)
    message: bytes = request.SerializeToString()
    return message


@lru_cache(maxsize=4)
def infer_requests(bundle: Path, seed: int, rows: int = 1) -> tuple[bytes, ...]:
    """Serialised ModelInferRequests of `rows` rows with raw contents, each with its own id."""
    specs, made = _rows(bundle, seed, rows)
    return tuple(_request(index, bundle.parent.name, specs, row) for index, row in enumerate(made))


def _plain(values: np.ndarray[Any, Any]) -> list[Any]:
    """Flat JSON values; JSON has no NaN, null stands for it."""
    flat = values.ravel().tolist()
    return [None if isinstance(value, float) and np.isnan(value) else value for value in flat]


@lru_cache(maxsize=2)
def rest_requests(bundle: Path, seed: int, host: str) -> tuple[bytes, ...]:
    """HTTP messages with the JSON form of the same requests."""
    specs, rows = _rows(bundle, seed)
    path = f"/v2/models/{bundle.parent.name}/infer"
    made = []
    for index, row in enumerate(rows):
        inputs = [
            {
                "name": spec.name,
                "shape": row[spec.name].shape,
                "datatype": _TYPES[spec.type][0],
                "data": _plain(row[spec.name]),
            }
            for spec in specs
        ]
        body = json.dumps({"id": f"bench-{index}", "inputs": inputs}, separators=(",", ":"))
        made.append(post(host, path, body.encode()))
    return tuple(made)


@lru_cache(maxsize=2)
def litserve_requests(bundle: Path, seed: int, host: str) -> tuple[bytes, ...]:
    """HTTP messages with the same rows, of a bundle with one input, for `peers/runtimes/litserve_onnx.py`."""
    specs, rows = _rows(bundle, seed)
    if len(specs) != 1:
        raise ValueError(f"{bundle.parent.name}: must have one input, got {len(specs)}")
    name = specs[0].name
    made = []
    for index, row in enumerate(rows):
        body = json.dumps({"id": f"bench-{index}", name: _plain(row[name])}, separators=(",", ":"))
        made.append(post(host, "/predict", body.encode()))
    return tuple(made)


@lru_cache(maxsize=4)
def expected(bundle: Path, seed: int, rows: int = 1) -> dict[str, bytes]:
    """The bytes of each request's quantiles (float32, little-endian) by its id."""
    _, made = _rows(bundle, seed, rows)
    graph = session(bundle)
    answers = (graph.run([OUTPUT], row)[0] for row in made)
    return {f"bench-{index}": answer.astype("<f4").tobytes() for index, answer in enumerate(answers)}


def check_infer(bundle: Path, seed: int, exact: bool, rows: int = 1) -> Check:
    """A check of gRPC answers; with `exact`, their quantiles must be those of the graph, bit for bit."""

    def check(request: bytes, answer: bytes) -> str | None:
        asked = oip.ModelInferRequest.FromString(request)
        try:
            told = oip.ModelInferResponse.FromString(answer)
        except DecodeError as error:
            return f"not a ModelInferResponse: {error}"
        names = [output.name for output in told.outputs]
        if OUTPUT not in names or len(told.raw_output_contents) != len(names):
            return f"outputs {names} with {len(told.raw_output_contents)} raw contents: no {OUTPUT}"
        return _differs(asked.id, told.id, told.raw_output_contents[names.index(OUTPUT)], bundle, seed, exact, rows)

    return check


def check_rest(bundle: Path, seed: int, exact: bool) -> Check:
    """As `check_infer`, for JSON."""

    def check(request: bytes, answer: bytes) -> str | None:
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        try:
            told = json.loads(answer)
            data = next(output["data"] for output in told["outputs"] if output["name"] == OUTPUT)
            raw = np.array(data, dtype="<f4").tobytes()
        except (ValueError, KeyError, StopIteration, TypeError) as error:
            return f"no JSON answer with {OUTPUT}: {error!r}"
        return _differs(asked["id"], told.get("id"), raw, bundle, seed, exact)

    return check


def check_litserve(bundle: Path, seed: int, exact: bool) -> Check:
    """As `check_infer`, for an answer that has no id."""

    def check(request: bytes, answer: bytes) -> str | None:
        asked = json.loads(request.partition(b"\r\n\r\n")[2])["id"]
        try:
            raw = np.array(json.loads(answer)[OUTPUT], dtype="<f4").tobytes()
        except (ValueError, KeyError, TypeError) as error:
            return f"no JSON answer with {OUTPUT}: {error!r}"
        return _differs(asked, asked, raw, bundle, seed, exact)

    return check


def _differs(
    asked: str, told: object, quantiles: bytes, bundle: Path, seed: int, exact: bool, rows: int = 1
) -> str | None:
    if told != asked:
        return f"id: sent {asked!r}, answered {told!r}"
    wanted = expected(bundle, seed, rows)[asked]
    if exact and quantiles != wanted:
        return f"{OUTPUT}: {np.frombuffer(quantiles, '<f4')} is not {np.frombuffer(wanted, '<f4')} bit for bit"
    return None if len(quantiles) == len(wanted) else f"{OUTPUT}: {len(quantiles)} bytes, not {len(wanted)}"
