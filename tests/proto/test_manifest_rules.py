"""What a manifest may say of an input, and the rules that follow for its values."""

import math

import pytest
from jobcast_proto.manifest import InputSpec, Schema
from jobcast_proto.rules import Rules
from pydantic import ValidationError

BASE = {"name": "memory", "type": "float64", "shape": [-1, 1], "unit": "GiB", "required": False}
TEXT = BASE | {"type": "string", "unit": ""}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (BASE | {"categories": ["a"]}, "categories are for texts, the type is float64"),
        (TEXT | {"categories": ["a", "a"]}, "categories must be texts that differ"),
        (TEXT | {"categories": ["a", ""]}, "categories must be texts that differ, none of them empty"),
        (TEXT | {"categories": []}, "at least 1 item"),
        (TEXT | {"columns": {"b": 2.0}}, "columns: b must have factor 1 for string, got 2.0"),
        (BASE | {"columns": {"b": 0.0}}, "columns: b must have a finite factor above 0, got 0.0"),
        (BASE | {"columns": {"b": math.inf}}, "must have a finite factor above 0, got inf"),
    ],
)
def test_an_input_that_contradicts_itself_is_refused(said, text):
    with pytest.raises(ValidationError) as caught:
        InputSpec(**said)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("said", "value", "broken"),
    [
        ({"minimum": 0.0}, -1.0, ("negative value", "must be finite and >= 0, or NaN where it is not known, got -1.0")),
        ({"minimum": 2.0, "required": True}, 1.0, ("below the minimum", "must be finite and >= 2, got 1.0")),
        ({"minimum": -2.0, "required": True}, -3.0, ("below the minimum", "must be finite and >= -2, got -3.0")),
        ({"exclusive_minimum": 0.0, "required": True}, 0.0, ("below the minimum", "must be finite and > 0, got 0.0")),
        ({"maximum": 2.0}, 3.0, ("above the maximum", "must be <= 2, got 3.0")),
        ({"required": True, "minimum": 0.0}, math.nan, ("missing value", "must be finite and >= 0, got nan")),
        ({"minimum": 0.0}, math.inf, ("not finite", "must be finite and >= 0, or NaN where it is not known, got inf")),
        ({}, math.nan, None),
        ({"maximum": 2.0}, 2.0, None),
    ],
)  # fmt: skip
def test_rules_of_numbers(said, value, broken):
    assert Rules(InputSpec(**(BASE | said))).broken(value) == broken


def test_rules_of_texts():
    closed = Rules(InputSpec(**(TEXT | {"categories": ["opt", "rel"]})))
    assert closed.broken("opt") is closed.broken("") is None
    assert closed.broken("OPT") == (
        "unknown category",
        "must be one of 'opt', 'rel', or empty where it is not known, got 'OPT'; did you mean 'opt'?",
    )
    needed = Rules(InputSpec(**(TEXT | {"categories": [f"c{n}" for n in range(15)], "required": True})))
    assert needed.broken("") == ("missing value", "must not be empty, got ''")
    assert needed.broken("zzz")[1].endswith("'c11' or 3 more, got 'zzz'")
    assert Rules(InputSpec(**(TEXT | {"max_length": 3}))).broken("éé") == (
        "text too long",
        "must be at most 3 bytes, got 4: 'éé'",
    )


def test_a_name_stands_for_one_input():
    inputs = [InputSpec(**BASE), InputSpec(**(BASE | {"name": "other", "columns": {"memory": 1.0}}))]
    assert "the name 'memory' stands for another input, too" in _refused(inputs)


def _refused(inputs):
    from jobcast_proto.manifest import Manifest

    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate({**_rest(), "inputs": [one.model_dump() for one in inputs]})
    return str(caught.value)


def _rest():
    return {
        "predictor": "p", "version": 1, "model_type": "", "created": "", "outputs": [], "quantile_levels": [0.5],
        "interval_levels": [0.5, 0.5], "limit_level": 0.5,
        "training_data": {"source": "", "rows": 1, "statistics_rows": 0, "calibration_rows": 0, "test_rows": 0,
                          "start": "", "end": "", "sha256": "0" * 64},
        "validation": {}, "test": {}, "parity": {"rows": 0, "threshold_rows": 0, "tolerance": 0, "max_difference": {}},
        "calibration": {"method": "", "interval_coverage_target": 0.5, "interval_coverage_test": 0.5,
                        "limit_coverage_test": 0.5, "offsets": []},
        "ensemble_weights": {}, "feature_names": [], "importances": {}, "libraries": {}, "seed": 0, "files": {},
    }  # fmt: skip


def test_a_schema_goes_there_and_back():
    from jobcast_proto.manifest import Manifest

    manifest = Manifest.model_validate({**_rest(), "inputs": [BASE | {"columns": {"mib": 2.0**-10}}]})
    told = Schema.of(manifest)
    assert Schema.model_validate_json(told.model_dump_json(exclude_defaults=True)) == told
    assert told.inputs[0].columns == {"mib": 2.0**-10}
