"""The bytes written without the protobuf library are what that library reads, for every field."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import rt_predictor_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from jobcast_proto.manifest import Manifest
from jobcast_server.rtpredictor.answer import FRAME, Encoder, category, confidence, failure, framed

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
MANIFEST = Manifest.model_validate_json((MODELS / "hpc-runtime" / "1" / "manifest.json").read_bytes())
SECONDS = st.floats(0, 1e9, width=32)


@st.composite
def outputs(draw):
    levels = sorted(draw(st.sets(st.sampled_from([n / 1000 for n in range(1, 1000)]), min_size=3, max_size=40)))
    rows = draw(st.integers(1, 5))
    width = len(levels)
    quantiles = draw(
        st.lists(st.lists(SECONDS, min_size=width, max_size=width).map(sorted), min_size=rows, max_size=rows)
    )
    point = draw(st.lists(SECONDS, min_size=rows, max_size=rows))
    manifest = MANIFEST.model_copy(
        update={
            "quantile_levels": levels,
            "interval_levels": (levels[0], levels[-1]),
            "limit_level": levels[-2],
            "version": draw(st.integers(1, 10**12)),
        }
    )
    return manifest, np.array(quantiles, np.float32), np.array(point, np.float32)[:, None]


@given(outputs())
def test_every_field_is_read_back(made):
    manifest, quantiles, point = made
    encoder = Encoder(manifest)
    rows = encoder.rows(quantiles, point)
    answers = pb.PredictBatchResponse.FromString(b"".join(rows)).predictions
    assert len(answers) == len(rows)
    for index, answer in enumerate(answers):
        assert answer.predicted_runtime_seconds == float(point[index, 0])
        assert answer.confidence_lower == quantiles[index, 0]
        assert answer.confidence_upper == quantiles[index, -1]
        assert answer.model_version == str(manifest.version)
        assert answer.runtime_category == ("short", "medium", "long", "very_long")[category(float(point[index, 0]))]
        assert answer.prediction_confidence == confidence(float(quantiles[index, 0]), float(quantiles[index, -1]))
        assert list(answer.quantile_levels) == manifest.quantile_levels
        assert list(answer.quantile_seconds) == quantiles[index].astype(float).tolist()
        assert answer.suggested_wallclock_seconds == float(quantiles[index, -2])
        assert answer.request_id == answer.error == ""
        assert answer == pb.PredictResponse.FromString(rows[index][FRAME:])
        alone = pb.PredictResponse.FromString(encoder.one(quantiles[index : index + 1], point[index : index + 1]))
        alone.prediction_timestamp = answer.prediction_timestamp
        assert alone == answer


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0, "short"), (3599.99, "short"), (3600, "medium"), (21600, "long"), (86399, "long"), (86400, "very_long")],
)
def test_categories_begin_where_the_contract_says(seconds, name):
    assert ("short", "medium", "long", "very_long")[category(seconds)] == name


@given(SECONDS, SECONDS)
def test_confidence_lies_in_0_to_1_and_falls_with_width(one, other):
    lower, upper = sorted((one, other))
    assert 0 < confidence(lower, upper) <= 1
    assert confidence(lower, 2 * upper + 1) < confidence(lower, upper)
    assert math.isclose(confidence(lower, lower), 1)


@given(st.text(max_size=300), st.text(max_size=20))
def test_a_failure_can_be_framed(problem, request_id):
    (read,) = pb.PredictBatchResponse.FromString(framed(failure(problem, request_id))).predictions
    assert (read.error, read.request_id, read.runtime_category) == (problem, request_id, "error")
