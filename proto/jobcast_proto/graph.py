"""What a model file may contain, read from its bytes without the onnx package: standard operators, all data inside.

Only the fields that matter here are described (numbers from onnx.proto); everything else stays unread.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from jobcast_proto.fault import BundleFault

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
EXTERNAL = 1

_TYPE = descriptor_pb2.FieldDescriptorProto
_FIELDS: dict[str, list[tuple[str, int, str | None, bool]]] = {  # message: (field, number, message or None, repeated)
    "Model": [("graph", 7, "Graph", False), ("opset", 8, "Opset", True), ("functions", 25, "Opset", True)],
    "Opset": [("domain", 1, None, False)],
    "Graph": [("nodes", 1, "Node", True), ("tensors", 5, "Tensor", True), ("sparse", 15, "Sparse", True)],
    "Node": [("op", 4, None, False), ("attributes", 5, "Attribute", True), ("domain", 7, None, False)],
    "Attribute": [
        ("tensor", 5, "Tensor", False),
        ("graph", 6, "Graph", False),
        ("tensors", 10, "Tensor", True),
        ("graphs", 11, "Graph", True),
        ("sparse", 22, "Sparse", False),
        ("sparses", 23, "Sparse", True),
    ],
    "Sparse": [("values", 1, "Tensor", False), ("indices", 2, "Tensor", False)],
    "Tensor": [("name", 8, None, False), ("external", 13, "Entry", True), ("location", 14, "int", False)],
    "Entry": [("key", 1, None, False)],
}


def _describe() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="jobcast_graph.proto", package="jobcast.graph", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            described = message.field.add(name=field, number=number)
            described.label = _TYPE.LABEL_REPEATED if repeated else _TYPE.LABEL_OPTIONAL
            if kind in _FIELDS:
                described.type, described.type_name = _TYPE.TYPE_MESSAGE, f".jobcast.graph.{kind}"
            else:
                described.type = _TYPE.TYPE_INT32 if kind == "int" else _TYPE.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("jobcast.graph.Model"))


_Model = _describe()


def inspect(model: bytes) -> None:
    """Accept a model file, or say why not.

    Raises:
        BundleFault: not a model, unknown operator domain, local functions, or tensor data outside the file.
    """
    try:
        parsed: Any = _Model.FromString(model)
    except DecodeError:
        raise BundleFault("model.onnx: is not an ONNX model (truncated or damaged)") from None
    if not parsed.graph.nodes:
        raise BundleFault("model.onnx: is not an ONNX model (it has no nodes)")
    if parsed.functions:
        raise BundleFault("model.onnx: model-local functions are not allowed; inline them")
    for opset in parsed.opset:
        _check_domain(opset.domain, "an operator set")
    for part in _walk(parsed.graph):
        if part.DESCRIPTOR.name == "Node":
            _check_domain(part.domain, f"operator {_text(part.op)}")
        elif part.external or part.location == EXTERNAL:
            raise BundleFault(f"model.onnx: tensor {_text(part.name)} keeps its data outside the file; embed it")


def _check_domain(domain: bytes, what: str) -> None:
    if _text(domain) not in DOMAINS:
        raise BundleFault(f"model.onnx: {what} of domain {_text(domain)!r} is not allowed; use ai.onnx or ai.onnx.ml")


def _walk(graph: Any) -> Iterator[Any]:
    """Every node and tensor of a graph and of the graphs inside it."""
    yield from graph.tensors
    yield from _halves(graph.sparse)
    for node in graph.nodes:
        yield node
        for attribute in node.attributes:
            yield attribute.tensor
            yield from attribute.tensors
            yield from _halves([attribute.sparse, *attribute.sparses])
            for inner in (attribute.graph, *attribute.graphs):
                yield from _walk(inner)


def _halves(sparse: Any) -> Iterator[Any]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
