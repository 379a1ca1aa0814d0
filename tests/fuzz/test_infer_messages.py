"""ModelInfer with messages that are right, nearly right and garbled: an answer or a reason, never a failure of ours.

`right` holds the rules of a request in one place; everything else is such a request with something spoilt.
"""

import json
import math
import struct
from pathlib import Path

import grpc
import open_inference_pb2 as pb
import pytest
from google.protobuf.message import DecodeError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

MODELS = Path(__file__).parents[2] / "models"
SPECS = json.loads((MODELS / "hpc-runtime" / "1" / "manifest.json").read_bytes())["inputs"]
DATATYPES = {"float64": "FP64", "int64": "INT64", "string": "BYTES"}
CONTENTS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
PACK = {"FP64": "<d", "INT64": "<q"}
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"

DEADLINE_S = 20.0
REASONS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Ends that a garbled request may have; DEADLINE_EXCEEDED is left out: that would be a hang."""

LONGEST_REASON = 6000
"""Characters of a message: gRPC carries it in a header of at most 8 KiB."""

# the same examples each time; not shrunk, because where the server hangs each step would cost a whole deadline
fuzzed = settings(deadline=None, derandomize=True, max_examples=250, phases=[Phase.generate])


def whole(low, high):
    return st.integers(low, high) | st.sampled_from([low, high])


SIZES = st.sampled_from([0, 1, -1, 2, 10, 11, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)]) | whole(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=30) | st.sampled_from(["", "\x00", "'; --", "\ufeff", "\u202e", "%s{}", "x" * 5000, "☃" * 300])


@st.composite
def values(draw, spec, count):
    """Values that the manifest allows."""
    if spec["type"] == "string":
        text = st.text(max_size=spec["max_length"] // 4, min_size=int(spec["required"]))
        return [one.encode() for one in draw(st.lists(text, min_size=count, max_size=count))]
    low = spec["minimum"] if spec["exclusive_minimum"] is None else math.nextafter(spec["exclusive_minimum"], math.inf)
    high = 1e308 if spec["maximum"] is None else spec["maximum"]
    if spec["type"] == "int64":
        return draw(st.lists(whole(int(low), int(high)), min_size=count, max_size=count))
    number = st.floats(low, high)
    return draw(st.lists(number if spec["required"] else number | st.just(math.nan), min_size=count, max_size=count))


@st.composite
def columns(draw, rows):
    """Input name -> (datatype, shape, values), in any order; what is not required may be absent."""
    chosen = [spec for spec in SPECS if spec["required"] or draw(st.booleans())]
    made = {}
    for spec in draw(st.permutations(chosen)):
        shape = [rows, *spec["shape"][1:]]
        made[spec["name"]] = (DATATYPES[spec["type"]], shape, draw(values(spec, math.prod(shape))))
    return made


def encode(datatype, content):
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(one)) + one for one in content)
    return b"".join(struct.pack(PACK[datatype], one) for one in content)


def request(content, raw, **fields):
    made = pb.ModelInferRequest(model_name="hpc-runtime", **fields)
    for name, (datatype, shape, data) in content.items():
        tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            made.raw_input_contents.append(encode(datatype, data))
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(data)
    return made


CHOICES = {
    "bool_param": st.booleans(),
    "int64_param": whole(-(2**63), 2**63 - 1),
    "string_param": TEXTS,
    "double_param": st.floats(),
    "uint64_param": whole(0, 2**64 - 1),
}
RESERVED = [
    "priority", "timeout", "headers", "sequence_id", "sequence_start", "sequence_end", "binary_data_output",
    "binary_data", "binary_data_size", "classification", "shared_memory_region", "shared_memory_byte_size",
    "shared_memory_offset", "triton_enable_empty_final_response", "triton_x",
]  # fmt: skip


@st.composite
def parameters(draw):
    made = {}
    for name in draw(st.lists(st.sampled_from(RESERVED) | TEXTS, max_size=3)):
        choice = draw(st.sampled_from([*CHOICES, None]))
        made[name] = pb.InferParameter(**({choice: draw(CHOICES[choice])} if choice else {}))
    return made


def add_parameters(target, drawn):
    for name, parameter in drawn.items():
        target[name].CopyFrom(parameter)


@st.composite
def right(draw):
    """(request, rows) that must be answered."""
    rows = draw(st.integers(1, 4))
    return request(draw(columns(rows)), draw(st.booleans()), id=draw(TEXTS)), rows


@st.composite
def spoilt(draw):
    """A right request with up to three things wrong with it, or odd about it."""
    made, _ = draw(right())
    for spoil in draw(st.lists(st.sampled_from(SPOILS), min_size=1, max_size=3)):
        spoil(draw, made)
    return made


def spoil_names(draw, made):
    field = draw(st.sampled_from(["model_name", "model_version"]))
    setattr(made, field, draw(TEXTS | st.sampled_from(["../hpc-runtime", "hpc-runtime/1", "01", "-1", "1 ", "\uff19"])))


def spoil_input(draw, made):
    if not made.inputs:
        return
    tensor = draw(st.sampled_from(list(made.inputs)))
    match draw(st.sampled_from(["name", "datatype", "shape", "again", "parameters", "gone"])):
        case "name":
            tensor.name = draw(TEXTS | st.sampled_from([spec["name"] for spec in SPECS]))
        case "datatype":
            known = ["BOOL", "UINT8", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES", "fp64"]
            tensor.datatype = draw(st.sampled_from(known) | TEXTS)
        case "shape":
            del tensor.shape[:]
            tensor.shape.extend(draw(st.lists(SIZES, max_size=5) | st.just([1] * 3000)))
        case "again":
            made.inputs.append(tensor)
        case "parameters":
            add_parameters(tensor.parameters, draw(parameters()))
        case "gone":
            made.inputs.remove(tensor)


def spoil_raw(draw, made):
    entries = made.raw_input_contents
    if not entries:
        made.raw_input_contents.extend(draw(st.lists(st.binary(max_size=40), max_size=15)))
        return
    place = draw(st.integers(0, len(entries) - 1))
    match draw(st.sampled_from(["cut", "longer", "gone", "more", "other", "length", "text"])):
        case "cut":
            entries[place] = entries[place][: draw(st.integers(0, 12))]
        case "longer":
            entries[place] += draw(st.binary(min_size=1, max_size=9))
        case "gone":
            del entries[place]
        case "more":
            entries.append(draw(st.binary(max_size=9)))
        case "other":
            entries[place] = draw(st.binary(max_size=64))
        case "text":  # well framed, and seldom UTF-8
            text = draw(st.binary(min_size=1, max_size=9))
            entries[place] = struct.pack("<I", len(text)) + text
        case "length":  # where a text's length would stand
            length = draw(st.sampled_from([0, 5, 2**31 - 1, 2**31, 2**32 - 1]) | whole(0, 2**32 - 1))
            entries[place] = struct.pack("<I", length) + entries[place][4:]


def spoil_contents(draw, made):
    if not made.inputs:
        return
    contents = draw(st.sampled_from(list(made.inputs))).contents
    match draw(st.sampled_from(["clear", "more", "texts"])):
        case "clear":
            contents.Clear()
        case "more":
            contents.MergeFrom(draw(CONTENT))
        case "texts":
            texts = contents.bytes_contents
            texts[: len(texts)] = [draw(st.binary(max_size=300)) for _ in texts] or [b"\xff"]


def spoil_outputs(draw, made):
    for name in draw(st.lists(st.sampled_from(["point", "quantiles"]) | TEXTS, max_size=3)):
        add_parameters(made.outputs.add(name=name).parameters, draw(parameters()))


def spoil_parameters(draw, made):
    add_parameters(made.parameters, draw(parameters()))


SPOILS = [spoil_names, spoil_input, spoil_input, spoil_raw, spoil_contents, spoil_outputs, spoil_parameters]

CONTENT = st.builds(
    pb.InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=3),
    int_contents=st.lists(whole(-(2**31), 2**31 - 1), max_size=3),
    int64_contents=st.lists(whole(-(2**63), 2**63 - 1), max_size=3),
    uint_contents=st.lists(whole(0, 2**32 - 1), max_size=3),
    uint64_contents=st.lists(whole(0, 2**64 - 1), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    fp64_contents=st.lists(st.floats(), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=9), max_size=3),
)


@pytest.fixture(scope="session")
def infer(target):
    return target.channel.unary_unary(INFER)


@pytest.fixture(scope="session")
def good(infer):
    """Asserts that a right request still gets the answer that it got before anything was spoilt."""
    content = {
        "processors_req": ("FP64", [1, 1], [32.0]),
        "nodes_req": ("FP64", [1, 1], [4.0]),
        "wallclock_req": ("FP64", [1, 1], [3600.0]),
        "submit_time": ("INT64", [1, 1], [1_000_000_000]),
        "partition": ("BYTES", [1, 1], [b"normal"]),
        "qos": ("BYTES", [1, 1], [b"normal"]),
    }
    asked = request(content, raw=True).SerializeToString()
    first = infer(asked, timeout=DEADLINE_S)

    def check():
        assert infer(asked, timeout=DEADLINE_S) == first

    return check


def answer_or_reason(call):
    """The answer's bytes, or None for a refusal that says why."""
    try:
        return call()
    except grpc.RpcError as error:
        code, reason = error.code(), error.details()
    # a `timeout` parameter may end a request early; the call's own deadline would be a hang
    expired = code is grpc.StatusCode.DEADLINE_EXCEEDED and reason != "Deadline Exceeded"
    assert code in REASONS or expired, (code, reason)
    assert 0 < len(reason) <= LONGEST_REASON, reason
    return None


def numbers(answer):
    """Every output's values, whichever form they came in."""
    if answer.raw_output_contents:
        return [list(struct.unpack(f"<{len(raw) // 4}f", raw)) for raw in answer.raw_output_contents]
    return [list(output.contents.fp32_contents) for output in answer.outputs]


@fuzzed
@given(right())
def test_right_requests_are_answered(infer, made):
    asked, rows = made
    answer = pb.ModelInferResponse.FromString(infer(asked.SerializeToString(), timeout=DEADLINE_S))
    assert answer.id == asked.id
    shapes = {output.name: (output.datatype, list(output.shape)) for output in answer.outputs}
    assert shapes == {"quantiles": ("FP32", [rows, 9]), "point": ("FP32", [rows, 1])}
    found = [number for output in numbers(answer) for number in output]
    assert len(found) == rows * 10
    assert all(math.isfinite(number) and number >= 0 for number in found)


@fuzzed
@given(st.integers(1, 4).flatmap(columns))
def test_typed_and_raw_inputs_get_the_same_bits(infer, content):
    answers = [
        pb.ModelInferResponse.FromString(infer(request(content, raw).SerializeToString(), timeout=DEADLINE_S))
        for raw in (True, False)
    ]
    assert numbers(answers[0]) == numbers(answers[1])


@fuzzed
@given(spoilt())
def test_spoilt_requests_get_an_answer_or_a_reason(infer, good, made):
    answer = answer_or_reason(lambda: infer(made.SerializeToString(), timeout=DEADLINE_S))
    if answer is not None:
        read = pb.ModelInferResponse.FromString(answer)
        assert read.outputs
        assert read.id == made.id
    good()


@fuzzed
@given(st.lists(right().map(lambda made: made[0]) | spoilt(), max_size=6))
def test_a_stream_answers_every_message(target, good, messages):
    stream = target.channel.stream_stream(STREAM)
    answers = stream(iter([one.SerializeToString() for one in messages]), timeout=DEADLINE_S)
    read = [pb.ModelStreamInferResponse.FromString(answer) for answer in answers]
    assert len(read) == len(messages)
    for answer in read:
        assert bool(answer.error_message) != bool(answer.infer_response.outputs), answer
    good()


@fuzzed
@given(right(), st.data())
def test_damaged_bytes_get_an_answer_or_a_reason(infer, good, made, data):
    raw = bytearray(made[0].SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        raw = raw or bytearray(b"\x00")
    answer = answer_or_reason(lambda: infer(bytes(raw), timeout=DEADLINE_S))
    try:
        pb.ModelInferRequest.FromString(bytes(raw))
    except DecodeError:
        assert answer is None, "bytes that are no message were answered"
    good()
