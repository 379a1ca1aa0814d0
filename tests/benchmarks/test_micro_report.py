"""What the micro-benchmarks' report becomes: medians, ratios between stages, and a word on what was not measured."""

from pathlib import Path

import pytest
from jobcast_bench.micro import MICRO_MEASURES, MicroError, read_micro, run_micro


def stage(name: str, rows: int, median_us: float) -> dict[str, object]:
    times = {"min": median_us / 1e6, "median": median_us / 1e6, "max": median_us / 1e6}
    return {"extra_info": {"stage": name, "rows": rows}, "stats": times}


def test_trees_are_compared_with_the_operator_and_with_the_libraries() -> None:
    times = {("forest_stock", 256): 900, ("forest_native", 256): 100, ("forest_libraries", 256): 250}
    found = read_micro({"benchmarks": [stage(name, rows, us) for (name, rows), us in times.items()]}).measures
    assert found["forest_256_ratio"].median == pytest.approx(9)
    assert found["forest_libraries_256_ratio"].median == pytest.approx(2.5)
    assert "forest_libraries_4096_ratio" not in found
    assert found.keys() <= MICRO_MEASURES.keys()


def test_what_was_not_measured_is_told() -> None:
    notes = read_micro({"benchmarks": [stage("engine", 1, 80)]}).notes
    assert any("xgboost, lightgbm or catboost is not here" in note for note in notes)
    assert any("jobcast_core is not built" in note for note in notes)
    whole = read_micro({"benchmarks": [stage("forest_stock", 1, 80), stage("native", 1, 20)]})
    assert whole.notes == []


def test_a_repository_without_the_bundle_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(MicroError, match=f"^--models: no bundle of hpc-runtime in {tmp_path}"):
        run_micro(tmp_path)
