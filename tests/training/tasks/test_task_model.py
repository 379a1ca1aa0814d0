"""`llm-latency` as a whole: intervals that hold, facts outside, the commands, and the comparison with baselines."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_proto.manifest import Manifest, TaskKey
from jobcast_training.calibration import conformal_offsets
from jobcast_training.command.evaluate import evaluate
from jobcast_training.command.train import train
from jobcast_training.predictors.llm_latency import NOVEL, NOVEL_NAMES, OWN_GROUPS
from jobcast_training.tasks import command
from jobcast_training.tasks.baselines import baseline_predictions
from jobcast_training.tasks.crossfit import (
    Misses,
    conformal_ranks,
    group_offsets,
    name_folds,
    novel_misses,
    row_folds,
    weights_of,
)
from jobcast_training.tasks.evaluation import evaluate_set, left_out, random_test
from jobcast_training.tasks.fitting import fit
from jobcast_training.tasks.page import section, write_section
from jobcast_training.tasks.pipeline import Model, fit_model
from jobcast_training.tasks.records import TARGET, TaskRecords, task_records
from jobcast_training.tasks.settings import SERVED, TRAINED, Families, Settings
from scipy.stats import norm

Invent = Callable[[int, int], TaskRecords]
KEY = "llm/toy-7B/NVIDIA L40S/vllm/0.1.0"


def only_lightgbm(settings: Settings) -> Callable[[int], Families]:
    return lambda rows: {"lightgbm": settings.families(rows)["lightgbm"]}


def test_the_80_percent_interval_holds_on_tasks_like_those_seen(model: Model, invent: Invent) -> None:
    fresh = invent(2_000, 77)
    quantiles, outside = model.predict(fresh)
    y = fresh.frame[TARGET].to_numpy()
    inside = (quantiles[:, SERVED.index(0.1)] <= y) & (y <= quantiles[:, SERVED.index(0.9)])
    assert 0.73 <= inside.mean() <= 0.87
    assert np.mean(y <= quantiles[:, SERVED.index(0.99)]) >= 0.96
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert np.mean(outside > 0) < 0.02
    assert model.scores["coverage_80"] == pytest.approx(0.8, abs=0.08)


def test_the_median_beats_every_baseline_where_the_law_is_known(
    model: Model, records: TaskRecords, invent: Invent
) -> None:
    fresh = invent(500, 78)
    y = fresh.frame[TARGET].to_numpy()
    own = np.abs(model.predict(fresh)[0][:, SERVED.index(0.5)] - y).mean()
    for name, values in baseline_predictions(records, fresh, 1).items():
        point = values if values.ndim == 1 else values[:, 1]
        assert own < np.abs(point - y).mean(), name


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({}, 0),
        ({"hardware": "L40S"}, 2),  # its name, and a fourth of any bandwidth seen
        ({"hardware": "Cerebras CS-3"}, 1),  # and its three figures are missing
        ({"hardware": None, "memory_bandwidth_gb_s": 2000.0, "fp16_tflops": 300.0, "memory_gb": 80.0}, 1),
        ({"memory_gb": 1000.0}, 1),
        ({"model_name": "other-8B"}, 1),
        ({"model_type": "t2vid"}, 1),
        ({"software_name": "TGI"}, 1),
        ({"software_version": "9.9"}, 0),  # no training row names a version: it tells nothing
        ({"output_tokens": 600.0}, 0),
        ({"output_tokens": 700.0}, 1),  # a quarter beyond the largest
        ({"num_devices": 8.0}, 1),
        ({"output_tokens": None}, 1),
        ({"frames": 3.0}, 1),
    ],
)
def test_facts_outside_what_training_saw_are_counted(
    change: dict[str, object], facts: int, model: Model, records: TaskRecords
) -> None:
    usual = records.frame.filter((pl.col("hardware") == "A100-80GB") & (pl.col("output_tokens") < 400)).head(1)
    changed = usual.with_columns(pl.lit(value, dtype=usual.schema[name]).alias(name) for name, value in change.items())
    _, outside = model.predict(replace(records, frame=changed))
    if change.get("hardware") == "Cerebras CS-3":
        facts += 3
    assert outside[0] == facts


def test_requests_outside_have_the_offsets_of_names_left_out(model: Model, records: TaskRecords) -> None:
    changed = records.frame.with_columns(model_name=pl.lit("other-7B"))
    own = model.fit.rows(changed)
    assert (own.group == NOVEL_NAMES["model_name"]).all()
    assert (model.fit.rows(records.frame).group >= OWN_GROUPS).all()
    several = model.fit.rows(changed.with_columns(hardware=pl.lit("other"), software_name=pl.lit("other")))
    assert (several.group == NOVEL_NAMES["software_name"]).all()
    beyond = model.fit.rows(records.frame.with_columns(output_tokens=pl.lit(1e6)))
    assert (beyond.group == NOVEL).all()
    offsets, median = model.head.offsets, SERVED.index(0.5)
    for number in (NOVEL, *(NOVEL_NAMES[field] for field in ("model_name", "hardware", "software_name"))):
        assert (offsets[number, :median] <= offsets[0, :median]).all()
        assert (offsets[number, median + 1 :] >= offsets[0, median + 1 :]).all()
        assert np.sum(offsets[number] != offsets[0]) >= median  # one side at least is all its own
        assert offsets[number, median] == offsets[0, median]


def test_names_never_seen_have_the_median_of_all_rows_and_not_that_of_rare_kinds() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat([0, OWN_GROUPS], [40, 960])
    log_time = np.where(group == 0, 2.0, 0.0) + rng.normal(0, 0.1, 1_000)
    rows, zeros = np.arange(1_000), np.zeros(1_000)
    quantiles = {"trees": np.zeros((1_000, len(TRAINED)))}
    misses = Misses(rows, rows % 5, log_time, zeros, quantiles, np.zeros(1_000, np.float32), group, np.ones(1_000))
    novel = {"hardware": replace(misses, log_time=log_time + rng.normal(1, 1, 1_000))}
    table = group_offsets(misses, novel, {"trees": np.ones(len(TRAINED))}, group, OWN_GROUPS + 1)
    median = table[:, SERVED.index(0.5)]
    assert median[0] == pytest.approx(2.0, abs=0.1)
    for number in (NOVEL, *NOVEL_NAMES.values(), OWN_GROUPS):
        assert median[number] == pytest.approx(0.0, abs=0.02)
    # the names left out took longer than said, which tells of no other name, and leaves the median where it is
    for number in (NOVEL, *NOVEL_NAMES.values()):
        assert np.sort(table[number]).tolist() == table[number].tolist()
        assert table[number, -1] > 2 * table[OWN_GROUPS, -1]


def test_ranks_are_the_conformal_ones_and_end_at_the_outermost() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, len(SERVED)))
    np.testing.assert_array_equal(
        conformal_ranks(scores, np.ones(500)), conformal_offsets(np.zeros(500), -scores, SERVED)
    )
    few = conformal_ranks(scores[:10], np.ones(10))
    assert few[0] == scores[:10, 0].min()
    assert few[-1] == scores[:10, -1].max()


def test_a_name_weighs_the_same_however_many_rows_it_has() -> None:
    values = np.concatenate([np.linspace(0, 1, 19), np.full(9_000, 50.0)])  # 19 names of one row, one of 9,000
    weight = np.concatenate([np.ones(19), np.full(9_000, 1 / 9_000)])
    found = conformal_ranks(np.repeat(values[:, None], 4, axis=1), weight, [0.1, 0.5, 0.9, 0.97])
    np.testing.assert_allclose(found, [1 / 18, 10 / 18, 1.0, 50.0], atol=1e-9)
    plain = conformal_ranks(values[:, None], weight, [0.9], spare=0.0)
    np.testing.assert_allclose(plain, [17 / 18], atol=1e-9)


def test_folds_are_of_equal_size_and_never_split_a_name(records: TaskRecords) -> None:
    assert np.bincount(row_folds(103, 5, 1)).tolist() == [21, 21, 21, 20, 20]
    folds = name_folds(records.frame, "hardware", 2)
    for _, group in records.frame.with_columns(fold=pl.Series(folds)).group_by("hardware"):
        assert group["fold"].n_unique() == 1
    assert set(folds) == {0, 1}
    assert (name_folds(records.frame, "model_type", 2) == -1).all()  # one name teaches nothing of another


def test_names_left_out_are_predicted_by_fits_that_never_saw_them(invent: Invent, small: Settings) -> None:
    records = invent(120, 4)
    quick = replace(small, families=only_lightgbm(small))
    found = novel_misses(records, quick, 1, lambda text: None)
    assert list(found) == ["model_name", "hardware", "software_name"]
    for field, misses in found.items():
        assert sorted(misses.row) == list(range(120))
        assert (misses.outside > 0).all()
        assert misses.weight.sum() == pytest.approx(records.frame[field].n_unique())  # each name weighs 1


def test_what_tells_models_apart_is_learned_for_models_never_seen(small: Settings) -> None:
    """Each model has adapters of its own number, which make it slower: its name tells as much, while it is known."""
    rng = np.random.default_rng(6)
    number = np.repeat(np.arange(12), 40)
    tokens = rng.integers(50, 500, len(number))
    time = tokens * 1.5**number * np.exp(rng.normal(0, 0.05, len(number)))
    texts = {"model_type": "llm", "hardware": "A100-80GB", "software_name": "vLLM"}
    names = {"model_name": [f"toy-{one}" for one in number], "num_lora": number}
    made = texts | names | {"output_tokens": tokens, "duration_ms": time}
    records = task_records(pl.DataFrame(made), "invented")
    kept = (number != 3) & (number != 8)
    lightgbm = {"lightgbm": {**small.families(0)["lightgbm"], "rounds": 80}}
    own = fit(replace(records, frame=records.frame.filter(kept)), lightgbm, 1)
    rows = own.rows(records.frame.filter(~kept))
    assert (rows.outside > 0).all()
    log_median = rows.log_estimate + own.fitted["lightgbm"].predict(rows.x)[:, TRAINED.index(0.5)]
    assert np.abs(log_median - np.log(time[~kept])).mean() < np.log(1.5)  # as good as the model beside it


def test_the_random_test_part_is_a_fifth_and_stays_the_same(records: TaskRecords) -> None:
    marked = random_test(records, 1)
    assert marked.sum() == records.frame.height // 5
    assert (marked == random_test(records, 1)).all()
    assert (marked != random_test(records, 2)).any()


def test_hardware_left_out_is_told_and_its_page_is_written_once(
    invent: Invent, small: Settings, tmp_path: Path
) -> None:
    records = invent(100, 9)
    quick = replace(small, folds=2, families=only_lightgbm(small))
    assert [name for name, _ in left_out(records, "hardware", 12)] == ["A100-80GB", "H100-80GB", "MI300X"]
    outcomes = evaluate_set(records, quick, 1, lambda text: None, ["hardware"])
    assert [one.split for one in outcomes] == ["rows at random, 80/20", "hardware left out"]
    assert outcomes[1].outside == 1.0
    assert outcomes[0].outside < 0.1
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n## Measured\n\n### other\n\nkept\n")
    for rows in (1, 2):
        write_section(page, "invented", section("invented", rows, outcomes))
    text = page.read_text()
    assert text.count("### invented") == 1
    assert "2 rows, ms." in text
    assert text.startswith("# Title\n\n## Measured\n\n### other\n\nkept\n")


def test_the_command_trains_a_key_on_few_traces_and_a_program_can_follow(
    traces: Callable[..., Path], tmp_path: Path
) -> None:
    arguments = ["--data", str(traces(24)), "--key", KEY, "--out", str(tmp_path / "models"), "--log-format", "json"]
    result = CliRunner().invoke(train, ["llm-latency", *arguments])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.splitlines()[-1])
    key = TaskKey(type="llm", name="toy-7B", hardware="NVIDIA L40S", software_name="vllm", software_version="0.1.0")
    assert answer["model"] == key.model("llm-latency")
    assert (answer["status"], answer["version"], answer["rows"]) == ("success", 1, 24)
    manifest = Manifest.model_validate_json((Path(answer["bundle"]) / "manifest.json").read_bytes())
    assert manifest.task_key == key
    assert manifest.predictor == answer["model"]
    assert "tile_count" in [spec.name for spec in manifest.inputs]
    assert answer["metrics"]["mae"] == pytest.approx(manifest.test["mae"], abs=1e-3)
    steps = [json.loads(line) for line in result.stderr.splitlines()]
    assert [step["done"] for step in steps] == list(range(1, steps[0]["total"] + 1))
    assert all(step["event"] == "progress" for step in steps)


def test_tasks_that_all_take_as_long_have_no_r2(traces: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ["--data", str(traces(24, duration_ms=1000.0)), "--out", str(tmp_path / "models")]
    result = CliRunner().invoke(train, ["llm-latency", *arguments, "--log-format", "json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.splitlines()[-1])
    assert "r2_log" not in answer["metrics"]
    written = Manifest.model_validate_json((Path(answer["bundle"]) / "manifest.json").read_bytes())
    assert set(written.test) == set(answer["metrics"])


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (19, [], "needs at least 20 tasks with a time, got 19"),
        (24, ["--key", "a/b/c"], "expected type/name/hardware/software/version"),
        (24, ["--key", "a//c/d/e"], "none empty"),
        (24, ["--format", "llm-splitwise-perf"], r"must be a .json, .parquet or .csv file"),
    ],
)
def test_the_command_says_what_is_wrong(
    rows: int, more: list[str], message: str, traces: Callable[..., Path], tmp_path: Path
) -> None:
    result = CliRunner().invoke(train, ["llm-latency", "--data", str(traces(rows)), "--out", str(tmp_path), *more])
    assert result.exit_code != 0
    assert message in result.output.replace("\n", " ")


def test_what_was_left_out_is_told_and_a_field_of_one_value_cannot_be(
    traces: Callable[..., Path], tmp_path: Path
) -> None:
    content = json.loads(traces(24).read_text())
    path = tmp_path / "some.json"
    path.write_text(json.dumps([*content, {**content[0], "duration_ms": -4}, {**content[0], "duration_ms": "soon"}]))
    result = CliRunner().invoke(evaluate, ["llm-latency", "--data", str(path), "--leave-out", "hardware"])
    assert result.exit_code == 2
    assert "hardware needs two values or more" in result.stderr
    assert "the tasks have L40S" in result.stderr
    assert "some: 24 tasks, left out 2: 1 duration_ms must be a finite number, 1 no positive time" in result.stderr
    assert "note: some.json trace 26: duration_ms must be a finite number, got 'soon'" in result.stderr
    for wrong, message in (
        (["--only", "t2vid"], "no task is of type 't2vid'; there are none"),
        (["--page", str(tmp_path / "none" / "page.md")], "make it first"),
    ):
        refused = CliRunner().invoke(evaluate, ["llm-latency", "--data", str(path), *wrong])
        assert refused.exit_code == 2
        assert message in " ".join(refused.stderr.split())
    arguments = ["--data", str(path), "--out", str(tmp_path / "models"), "--log-format"]
    text = CliRunner().invoke(train, ["llm-latency", *arguments, "text"])
    assert "left out 2" in text.stderr, text.output
    answer = json.loads(CliRunner().invoke(train, ["llm-latency", *arguments, "json"]).stdout.splitlines()[-1])
    assert answer["rejected"] == {"duration_ms must be a finite number": 1, "no positive time": 1}
    assert len(answer["notes"]) == 1


def test_a_folder_that_cannot_be_made_is_told_apart_from_wrong_traces(
    traces: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    arguments = ["--data", str(traces(24)), "--out", str(tmp_path / "taken" / "models")]
    result = CliRunner().invoke(train, ["llm-latency", *arguments])
    assert result.exit_code == os.EX_IOERR
    assert f"{tmp_path}/taken" in result.output.replace("\n", "")


def test_the_commands_of_other_predictors_are_as_they_were() -> None:
    for one in (train, evaluate):
        assert "hpc-runtime" in CliRunner().invoke(one, ["nothing", "--data", __file__]).output
        told = CliRunner().invoke(one, ["llm-latency", "--help"])
        assert told.exit_code == 0
        assert "llm-latency on task times" in told.output
        assert "llm-latency has options of its own" in CliRunner().invoke(one, ["--help"]).output


def test_weights_are_chosen_for_each_level_by_the_loss_in_parts_of_the_estimate() -> None:
    rng = np.random.default_rng(2)
    estimate = rng.choice([0.0, 8.0], 3_000)
    log_time = estimate + rng.normal(0, 0.5, 3_000)
    right = estimate[:, None] + norm.ppf(TRAINED) * 0.5
    wrong = np.repeat(right[:, [2]], len(TRAINED), axis=1)
    rows = np.arange(3_000)
    named = {"tails": right, "median": wrong}
    misses = Misses(rows, rows % 5, log_time, estimate, named, np.zeros(3_000, np.float32), rows, np.ones(3_000))
    weights = weights_of(misses)
    assert np.allclose(sum(weights.values()), 1)
    assert weights["tails"][0] > 0.9
    assert weights["tails"][-1] > 0.9


def test_a_models_name_in_a_key_may_hold_slashes() -> None:
    key = command.parse_key("llm/meta-llama/Llama-3-8B/A100/vllm/0.1.0")
    assert key is not None
    assert (key.type, key.name, key.hardware) == ("llm", "meta-llama/Llama-3-8B", "A100")


def test_the_smallest_training_fits_tasks_of_a_kind(traces: Callable[..., Path], small: Settings) -> None:
    from jobcast_training.tasks.sources import read_tasks

    records = read_tasks([traces(60)])
    model = fit_model(records, small, 1, lambda text: None)
    quantiles, _ = model.predict(records)
    y = records.frame[TARGET].to_numpy()
    assert np.median(np.abs(quantiles[:, SERVED.index(0.5)] / y - 1)) < 0.15
