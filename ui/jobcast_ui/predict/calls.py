"""The same question put in other ways, ready to copy: each gives the numbers that the page shows, to the bit."""

import base64
import json
import shlex
from collections.abc import Mapping
from typing import Any

from jobcast import Batch
from jobcast_proto.manifest import InputSpec, Schema

from jobcast_ui.place import Place

TYPES = {
    "float64": ("FP64", "fp64_contents"),
    "int64": ("INT64", "int64_contents"),
    "string": ("BYTES", "bytes_contents"),
}
"""Datatype of the protocol and field of its messages, by the manifest's type."""

TOKEN = "$JOBCAST_TOKEN"  # noqa: S105 - a variable's name


def python(schema: Schema, record: Mapping[str, str], place: Place) -> str:
    """With the client; the token comes from the variable JOBCAST_TOKEN."""
    tls = f", tls_ca={place.tls_ca!r}" if place.tls_ca else ""
    values = "".join(f"    {name!r}: {text!r},\n" for name, text in record.items() if text)
    return f"""\
from jobcast import InferenceClient, Records

record = {{
{values}}}
with InferenceClient({place.address!r}{tls}) as client:
    schema, _ = client.schema({schema.predictor!r}, {str(schema.version)!r})
    batch = Records(schema.inputs, written=True).read([record])
    answer = client.infer(schema, batch)
    print(dict(zip(schema.quantile_levels, answer["quantiles"][0])))
    print(answer["point"][0][0])
"""


def command(schema: Schema, record: Mapping[str, str], place: Place) -> str:
    """With the command `jobcast`, which asks the newest version."""
    words = ["jobcast", "predict", schema.predictor]
    for name, text in record.items():
        if text:
            words += ["--set", f"{name}={text}"]
    words += ["--address", place.address, *(("--tls-ca", place.tls_ca) if place.tls_ca else ()), "--json"]
    return shlex.join(words)


def curl(schema: Schema, batch: Batch, place: Place, *, token: bool) -> str:
    """Over REST."""
    inputs = [
        {"name": spec.name, "datatype": TYPES[spec.type][0], "shape": [batch.rows, *spec.shape[1:]],
         "data": [None if value != value else value for value in values]}
        for spec, values in _given(schema, batch)
    ]  # fmt: skip
    url = f"{place.rest.rstrip('/')}/v2/models/{schema.predictor}/versions/{schema.version}/infer"
    header = f' -H "Authorization: Bearer {TOKEN}"' if token else ""
    ca = f" --cacert {shlex.quote(place.tls_ca)}" if place.tls_ca and place.tls_ca != "system" else ""
    return f"curl -s{ca}{header} {shlex.quote(url)} -d {shlex.quote(json.dumps({'inputs': inputs}))}"


def grpcurl(schema: Schema, batch: Batch, place: Place, *, token: bool) -> str:
    """Over gRPC, with the command `grpcurl`, which learns the messages from the server."""
    inputs = [
        {"name": spec.name, "datatype": TYPES[spec.type][0], "shape": [batch.rows, *spec.shape[1:]],
         "contents": {TYPES[spec.type][1]: [_proto(value) for value in values]}}
        for spec, values in _given(schema, batch)
    ]  # fmt: skip
    request = {"model_name": schema.predictor, "model_version": str(schema.version), "inputs": inputs}
    header = f' -H "authorization: Bearer {TOKEN}"' if token else ""
    plain = "" if place.tls_ca or place.tls_cert else " -plaintext"
    method = "inference.GRPCInferenceService/ModelInfer"
    return f"grpcurl{plain}{header} -d {shlex.quote(json.dumps(request))} {place.address} {method}"


def _given(schema: Schema, batch: Batch) -> list[tuple[InputSpec, list[Any]]]:
    return [(spec, list(batch.columns[spec.name])) for spec in schema.inputs if spec.name in batch.columns]


def _proto(value: float | int | str) -> object:
    """A value as the JSON of protobuf writes it."""
    if isinstance(value, str):
        return base64.b64encode(value.encode()).decode()
    return "NaN" if value != value else value
