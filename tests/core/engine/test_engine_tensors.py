"""The Open Inference Protocol: whatever a caller sends, both engines say the same bytes or the same refusal."""

import numpy as np
import open_inference_pb2 as oip
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INFER = "/inference.GRPCInferenceService/ModelInfer"
OVER_THE_WIRE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TOY = {"prompt_tokens": "FP64", "output_tokens": "FP64", "submit_time": "INT64", "model": "BYTES"}
NUMBERS = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, -0.0, -1.0, float("nan"), float("inf"), 1e308]))
WHOLE = st.one_of(st.integers(0, 2**40), st.sampled_from([-1, -(2**63), 2**63 - 1]))
TEXTS = st.one_of(st.sampled_from(["small", "large", "", "x" * 300, "a\0b", "ä"]), st.text(max_size=10))


@st.composite
def toy_requests(draw):
    """Any of the inputs in any order, good and bad, with parts missing, doubled and of wrong sizes."""
    rows = draw(st.sampled_from([1, 1, 1, 2, 5, 33, 0]))
    request = oip.ModelInferRequest(
        model_name=draw(st.sampled_from(["toy-latency"] * 9 + ["", "none"])),
        model_version=draw(st.sampled_from(["", "", "", "1", "7", "x"])),
        id=draw(st.sampled_from(["", "id", "ä"])),
    )
    names = draw(st.permutations(list(TOY)))
    if draw(st.booleans()):
        names = names[: draw(st.integers(0, 4))]
    if draw(st.integers(0, 9)) == 0:
        names = [*names, draw(st.sampled_from(["prompt_tokens", "unknown"]))]
    for name in names:
        datatype = TOY.get(name, "FP64")
        values = {"FP64": NUMBERS, "INT64": WHOLE, "BYTES": TEXTS}[datatype]
        column = draw(st.lists(values, min_size=rows, max_size=rows))
        shape = draw(st.sampled_from([[rows, 1]] * 12 + [[rows], [rows, 2], [-1, 1], []]))
        told = draw(st.sampled_from([datatype] * 12 + ["FP32", ""]))
        request.inputs.add(name=name, datatype=told, shape=shape)
        if datatype == "BYTES":
            raw = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in column)
        else:
            raw = np.array(column, "<f8" if datatype == "FP64" else "<i8").tobytes()
        request.raw_input_contents.append(draw(st.sampled_from([raw] * 12 + [raw + b"\0", raw[:-1], b"\xff" * 8])))
    for name in draw(st.sampled_from([[]] * 4 + [["point"], ["quantiles", "point"], ["point", "point"], ["none"]])):
        request.outputs.add(name=name)
    if draw(st.integers(0, 9)) == 0:
        request.parameters["priority"].int64_param = draw(st.sampled_from([1, -1]))
    if draw(st.integers(0, 14)) == 0 and request.inputs:
        request.inputs[0].parameters["shared_memory_region"].string_param = "x"
    content = request.SerializeToString()
    match draw(st.sampled_from(["whole"] * 6 + ["cut", "byte", "more"])):
        case "cut":
            return content[: draw(st.integers(0, len(content)))]
        case "byte" if content:
            place = draw(st.integers(0, len(content) - 1))
            return content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :]
        case "more":
            return content + draw(st.binary(max_size=12))
    return content


@settings(OVER_THE_WIRE, max_examples=400)
@given(toy_requests())
def test_tensors(both, content):
    native, python = both.ask(INFER, content)
    assert native == python


@pytest.mark.parametrize("rows", [1, 7, 32, 33, 64])
def test_golden_rows_of_every_shipped_bundle(both, golden, raw_request, rows):
    for model, columns in golden.items():
        chosen = {name: values[:rows] for name, values in columns.items()}
        native, python = both.ask(INFER, raw_request(model, chosen, id="golden").SerializeToString())
        assert len(native) == 1, native
        assert native == python


def test_single_golden_rows_with_inputs_left_out(both, golden, raw_request):
    for model, columns in golden.items():
        for row in range(len(next(iter(columns.values())))):
            kept = {
                name: values[row : row + 1] for place, (name, values) in enumerate(columns.items()) if (row + place) % 3
            }
            native, python = both.ask(INFER, raw_request(model, kept).SerializeToString())
            assert native == python


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, -0.0, 1e300])
def test_a_value_out_of_bounds(both, golden, raw_request, place, value):
    for model, columns in golden.items():
        numbers = [name for name, values in columns.items() if values.dtype.kind == "f"]
        spoiled = {name: values[:2].copy() for name, values in columns.items()}
        spoiled[numbers[place]][1] = value
        native, python = both.ask(INFER, raw_request(model, spoiled).SerializeToString())
        assert native == python
