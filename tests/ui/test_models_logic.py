"""Reliability and comparison against scipy and the metrics of training, and what manifests tell."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_proto.manifest import Manifest, Schema
from jobcast_training.metrics import quantile_metrics
from jobcast_ui.models import facts
from jobcast_ui.models.comparison import Answers, figures, reliability, rows, table
from jobcast_ui.models.pictures import reliability_text
from jobcast_ui.models.reliability import BELOW, INSIDE, band, every_level, told
from scipy import stats

MODELS = Path(__file__).parents[2] / "models"


def shipped(name: str) -> Manifest:
    return Manifest.model_validate_json((MODELS / name / "1" / "manifest.json").read_bytes())


@given(st.integers(1, 60_000), st.sampled_from([0.01, 0.025, 0.1, 0.5, 0.9, 0.975, 0.99]))
def test_the_band_is_that_of_the_binomial_distribution(rows: int, level: float) -> None:
    low, high = band(rows, level)
    expected = stats.binom.ppf([0.025, 0.975], rows, level)
    # where a probability lies on the edge itself, rounding may choose the next count
    assert np.abs(np.array([low, high]) * rows - expected).max() <= 1 + 1e-6
    assert stats.binom.cdf(round(high * rows), rows, level) >= 0.975 - 1e-9
    assert stats.binom.cdf(round(low * rows) - 1, rows, level) <= 0.025 + 1e-9


def test_points_of_a_bundle_are_its_own_figures() -> None:
    manifest = shipped("build-memory")
    assert every_level(manifest)
    known = ("below_90", "limit_held", "coverage_80", "coverage_interval")
    fewer = {
        part: {key: value for key, value in getattr(manifest, part).items() if key in known}
        for part in ("test", "validation")
    }
    manifest = manifest.model_copy(update=fewer)
    found = {(one.series, one.kind, one.level): (one.share, one.rows) for one in told(manifest)}
    data, test, validation = manifest.training_data, manifest.test, manifest.validation
    assert found == {
        ("test", BELOW, 0.9): (test["below_90"], data.test_rows),
        ("test", BELOW, 0.95): (test["limit_held"], data.test_rows),
        ("test", INSIDE, 0.8): (test["coverage_80"], data.test_rows),
        ("test", INSIDE, 0.95): (test["coverage_interval"], data.test_rows),
        ("validation", BELOW, 0.9): (validation["below_90"], data.calibration_rows),
        ("validation", BELOW, 0.95): (validation["limit_held"], data.calibration_rows),
        ("validation", INSIDE, 0.8): (validation["coverage_80"], data.calibration_rows),
        ("validation", INSIDE, 0.95): (validation["coverage_interval"], data.calibration_rows),
    }
    assert not every_level(manifest)


def test_a_bundle_that_tells_every_level_has_a_point_at_each() -> None:
    manifest = shipped("hpc-runtime")
    shares = {f"below_{100 * level:g}": level / 2 for level in manifest.quantile_levels}
    full = manifest.model_copy(update={"test": {**manifest.test, **shares}})
    assert every_level(full)
    own = {one.level: one.share for one in told(full) if one.kind == BELOW and one.series == "test"}
    assert own == {level: level / 2 for level in manifest.quantile_levels}


def test_a_bundle_that_tells_nothing_has_no_point() -> None:
    assert told(shipped("hpc-runtime").model_copy(update={"test": {}, "validation": {}})) == []


@pytest.mark.parametrize("name", ["hpc-runtime", "build-memory", "llm-latency"])
def test_every_metric_of_a_shipped_bundle_has_a_title_and_keeps_its_number(name: str) -> None:
    manifest = shipped(name)
    found = {row["key"]: row for row in facts.metrics(manifest)}
    assert {key: row["test"] for key, row in found.items() if row["test"] is not None} == manifest.test
    assert {
        key: row["validation"] for key, row in found.items() if row["validation"] is not None
    } == manifest.validation
    assert all(row["metric"] != key for key, row in found.items())


def test_facts_tell_rules_fingerprint_and_policy() -> None:
    manifest = shipped("build-memory")
    inputs = {row["input"]: row for row in facts.inputs(manifest)}
    assert inputs["build_profile"]["required"] == "yes"
    assert inputs["requested_memory"]["rule"] == ">= 0; <= 1e+06"
    assert inputs["recent_peaks"]["type"] == "up to 10 x float64"
    data = {row["fact"]: row["value"] for row in facts.fingerprint(manifest)}
    assert data["SHA-256 of the records"] == manifest.training_data.sha256
    assert data["rows of the test"] == "1,377"
    policy = {row["fact"]: row["value"] for row in facts.policy(manifest)}
    assert manifest.allocation is not None
    assert policy["share that did, test"] == f"{manifest.allocation.under_share_test:.4g}"
    assert facts.policy(shipped("hpc-runtime")) == []


def test_importances_are_ordered_and_bounded() -> None:
    manifest = shipped("hpc-runtime")
    found = facts.importances(manifest, 5)
    largest = sorted(manifest.importances.values(), reverse=True)[:5]
    assert [row["share of the gain"] for row in found] == largest
    assert all(manifest.importances[row["feature"]] == row["share of the gain"] for row in found)


def answers(seed: int = 3, count: int = 500) -> tuple[Answers, np.ndarray]:
    schema = Schema.of(shipped("hpc-runtime"))
    random = np.random.default_rng(seed)
    quantiles = np.sort(random.gamma(2, 1000, (count, len(schema.quantile_levels))), axis=1)
    return Answers("one", schema, quantiles, quantiles[:, 4]), random.gamma(2, 1000, count)


def test_figures_are_those_of_training() -> None:
    own, outcomes = answers()
    schema = own.schema
    expected = quantile_metrics(
        outcomes, own.quantiles, schema.quantile_levels, schema.interval_levels, schema.limit_level
    )
    found = figures(own, outcomes)
    assert found["pinball 0.1"] == expected["pinball_10"]
    assert found["pinball 0.5"] == expected["pinball_50"]
    assert found["pinball 0.9"] == expected["pinball_90"]
    assert found["interval covers"] == expected["coverage_interval"]
    assert found["limit held"] == expected["limit_held"]
    assert found["MAE"] == pytest.approx(np.mean([abs(y - p) for y, p in zip(outcomes, own.points, strict=True)]))
    assert found["median AE"] == np.median(np.abs(outcomes - own.points))
    assert {one.level: one.share for one in reliability(own, outcomes)} == {
        level: expected[f"below_{100 * level:g}"] for level in schema.quantile_levels
    }


def test_a_level_that_is_not_answered_has_no_figure() -> None:
    own, outcomes = answers()
    few = own.schema.model_copy(update={"quantile_levels": [0.025, 0.5, 0.975]})
    found = figures(Answers("few", few, own.quantiles[:, [0, 4, 8]], own.points), outcomes)
    assert (found["pinball 0.1"], found["pinball 0.9"], found["limit held"]) == (None, None, None)
    assert found["pinball 0.5"] is not None


def test_every_figure_follows_from_the_rows_that_can_be_downloaded() -> None:
    own, outcomes = answers(count=40)
    columns = rows([own], outcomes, list(range(1, 41)))
    again = np.abs(np.array(columns["outcome"]) - np.array(columns["one: point"])).mean()
    shown = {row["figure"]: row["one"] for row in table([own], outcomes, "s")}
    assert shown["MAE"] == again
    below = np.mean(np.array(columns["outcome"]) <= np.array(columns["one: quantile 0.95"]))
    assert shown["limit held"] == below
    assert json.dumps(columns)


def test_the_diagram_is_told_in_words() -> None:
    own, outcomes = answers()
    points = reliability(own, outcomes)
    inside = sum(one.within for one in points)
    assert reliability_text(points).startswith(f"one, 500 outcomes: {inside} of 9 points lie within the 95% band")
