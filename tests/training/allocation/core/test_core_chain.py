"""Time flows one way: predictions come from what had ended before, and the test period decides nothing."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.chain import Chained, chain, links
from jobcast_training.allocation.declaration import AMOUNT, CENSORED, END, HOURS, TIME, Predictor
from jobcast_training.allocation.fitting import FitError
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.settings import SERVED, Settings
from numpy.typing import NDArray

NAMES = ("lightgbm_regression", "lightgbm_classification")


@pytest.mark.parametrize(("rows", "count", "share"), [(80, 6, 0.5), (481, 3, 0.5), (1000, 1, 0.9), (100, 7, 0.31)])
def test_links_follow_each_other_to_the_last_row(rows: int, count: int, share: float) -> None:
    found = links(rows, Settings(links=count, first_share=share))
    assert len(found) == count
    assert found[0][0] == int(share * rows)
    assert found[-1][1] == rows
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))


def chained(core: SimpleNamespace, predictor: Predictor, frame: pl.DataFrame, past: Past) -> Chained:
    told = replace(core.SMALL, links=2, threshold=0.8)
    return chain(predictor, frame, past, NAMES, told, 1, lambda text: None)


def answers(part: Chained, rows: NDArray[np.bool_]) -> list[bytes]:
    """What was said of some rows, to the bit."""
    return [own[rows].tobytes() for own in (*part.served.values(), *part.edges.values(), part.log_anchor)]


def test_a_prediction_rests_on_nothing_that_had_not_ended(core: SimpleNamespace, predictor: Predictor) -> None:
    frame = core.invented(predictor.name, 200, 6).frame
    past = Past.of(predictor, frame)
    end, time = frame.select(pl.coalesce(END, TIME)).to_series().to_numpy(), frame[TIME].to_numpy()
    whole = chained(core, predictor, frame, past)
    blocks = links(frame.height, replace(core.SMALL, links=2))
    assert whole.row.tolist() == list(range(blocks[0][0], frame.height))
    assert set(whole.served) == {*NAMES, "constant_regression"}
    assert set(whole.edges) == {NAMES[1]}
    assert all(own.shape == (len(whole.row), len(SERVED)) for own in whole.served.values())
    for start, stop in blocks:
        at = (whole.row >= start) & (whole.row < stop)
        running = end >= time[start]
        assert 0 < running[:start].sum() < start, "no job runs on into the block: nothing is tested"
        for spoilt, same in ((running, True), (~running & (np.arange(frame.height) % 3 == 0), False)):
            poisoned = frame.with_columns(
                pl.Series(AMOUNT, np.where(spoilt, 1e6, frame[AMOUNT].to_numpy())),
                pl.Series(CENSORED, frame[CENSORED].to_numpy() & ~spoilt),
            )
            told = answers(chained(core, predictor, poisoned, past), at)
            assert (told == answers(whole, at)) is same


def test_predictions_stand_beside_their_own_rows(core: SimpleNamespace, predictor: Predictor) -> None:
    frame = core.invented(predictor.name, 600, 3).frame
    result = core.run(predictor.name, "weighted")
    own = result.chained
    known = ~frame[CENSORED].to_numpy()[own.row]
    assert own.row.max() < result.split == 480
    assert np.array_equal(own.log_amount[known], np.log(frame[AMOUNT].to_numpy()[own.row])[known])
    assert 0 < (~known).sum() < 30
    assert (own.log_amount[~known] >= np.log(frame[AMOUNT].to_numpy()[own.row])[~known]).all()
    assert (own.log_amount[~known] > np.log(frame[AMOUNT].to_numpy()[own.row])[~known]).any()
    median = own.served["xgboost_regression"][:, SERVED.index(0.5)] + own.log_anchor
    assert np.corrcoef(median, own.log_amount)[0, 1] > 0.8


def trained(core: SimpleNamespace, predictor: Predictor, records: AllocationRecords, seed: int = 1) -> pipeline.Result:
    plan = pipeline.Plan(names=NAMES, settings=replace(core.SMALL, links=2))
    return pipeline.train(predictor, records, plan, seed=seed, step=lambda text: None)


def told(result: pipeline.Result) -> list[Any]:
    """All that is decided and served of every model."""
    return [
        (
            one.name,
            one.assembled.served.SerializeToString(),
            one.decided.name,
            one.decided.rule,
            one.decided.allocated.tobytes(),
            [(other.name, other.loss) for other in one.tried],
            dict(one.validation_scores),
        )
        for one in result.models
    ]


@pytest.fixture(scope="module")
def whole(core: SimpleNamespace, predictor: Predictor) -> pipeline.Result:
    return trained(core, predictor, core.invented(predictor.name, 300, 7))


def test_the_test_period_decides_nothing(core: SimpleNamespace, predictor: Predictor, whole: pipeline.Result) -> None:
    records = whole.records
    frame, split = records.frame, whole.split
    assert split == 240
    later = pl.Series(np.arange(frame.height) >= split)
    amount = pl.when(later).then(pl.col(AMOUNT) * 1000 + 7).otherwise(pl.col(AMOUNT))
    columns = [
        amount.alias(AMOUNT),
        pl.when(later).then(pl.lit(99.0)).otherwise(pl.col(HOURS)).alias(HOURS),
        (pl.col(CENSORED) | (later & (pl.Series(np.arange(frame.height)) % 2 == 0))).alias(CENSORED),
        *(pl.when(later).then(pl.col(one.name) * 3 + 1).otherwise(pl.col(one.name)) for one in predictor.numbers),
        *(
            pl.when(later).then(pl.lit("dbg" if one.values else "poison")).otherwise(pl.col(one.name)).alias(one.name)
            for one in predictor.texts
        ),
    ]
    poisoned = trained(core, predictor, replace(records, frame=frame.with_columns(columns)))
    assert told(poisoned) == told(whole)
    assert poisoned.best.name == whole.best.name
    candidates = [one.candidate(one.best, "m") for one in (whole, poisoned)]
    assert candidates[0].about["allocation"] | {"under_share_test": 0} == (
        candidates[1].about["allocation"] | {"under_share_test": 0}
    )
    assert candidates[0].about["inputs"] == candidates[1].about["inputs"]
    for name, values in candidates[0].golden_inputs.items():
        assert _same(values, candidates[1].golden_inputs[name])
    assert poisoned.best.test_scores["mae"] > 100 * whole.best.test_scores["mae"]


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def test_the_same_seed_gives_the_same_bytes(
    core: SimpleNamespace, predictor: Predictor, whole: pipeline.Result
) -> None:
    again = trained(core, predictor, core.invented(predictor.name, 300, 7))
    assert told(again) == told(whole)
    other = trained(core, predictor, core.invented(predictor.name, 300, 7), seed=2)
    for mine, theirs in zip(told(other), told(whole), strict=True):
        assert mine[1] != theirs[1], "the seed has no say"


def test_every_fitted_member_is_heard_of(core: SimpleNamespace) -> None:
    predictor, heard = catalogue.load("workflow-memory"), list[str]()
    records = core.invented(predictor.name, 120, 7)
    plan = pipeline.Plan(names=NAMES, settings=replace(core.SMALL, links=2))
    pipeline.train(predictor, records, plan, seed=1, step=heard.append)
    assert len(heard) == pipeline.steps(plan, 120)
    assert set(heard) == set(NAMES)


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_too_few_records_are_refused(core: SimpleNamespace, predictor: Predictor, rows: int) -> None:
    records: AllocationRecords = core.invented(predictor.name, 120, 7)
    few = replace(records, frame=records.frame[:rows])
    with pytest.raises(RecordError, match=f"^invented: needs at least 100 usable records, got {rows}$"):
        trained(core, predictor, few)


@pytest.mark.parametrize("ended", [0, 9])
def test_a_chain_without_ended_jobs_is_refused(core: SimpleNamespace, predictor: Predictor, ended: int) -> None:
    records = core.invented(predictor.name, 120, 7)
    first_test = records.frame[TIME][pipeline.split_of(120)]
    late = pl.max_horizontal(pl.col(TIME) + 1, pl.lit(first_test - 1))
    frame = records.frame.with_columns(
        pl.when(pl.int_range(pl.len()) < ended).then(pl.col(TIME) + 1).otherwise(late).alias(END)
    )
    said = rf"^only {ended} jobs had ended when record 49 was submitted, at {frame[TIME][48]:.0f} s; it takes 10 to "
    with pytest.raises(RecordError, match=said):
        trained(core, predictor, replace(records, frame=frame))


def test_jobs_that_run_on_into_the_test_period_teach_nothing(core: SimpleNamespace, predictor: Predictor) -> None:
    """What a job used that was still running when the test period began changes no bit of what is served there."""
    records = core.invented(predictor.name, 300, 7)
    frame, split = records.frame, pipeline.split_of(300)
    end = frame.select(pl.coalesce(END, TIME)).to_series().to_numpy().copy()
    end[split - 20 : split] = frame[TIME][split] + 1
    running = (np.arange(300) < split) & (end >= frame[TIME][split])
    assert 20 <= running.sum() < 200
    frame = frame.with_columns(pl.Series(END, end))
    poisoned = frame.with_columns(pl.Series(AMOUNT, np.where(running, 3.0, 1.0) * frame[AMOUNT].to_numpy()))
    served = [
        trained(core, predictor, replace(records, frame=one)).models[0].assembled.served.SerializeToString()
        for one in (frame, poisoned)
    ]
    assert served[0] == served[1]


def test_records_of_which_too_few_had_ended_are_refused(core: SimpleNamespace, predictor: Predictor) -> None:
    records = core.invented(predictor.name, 120, 7)
    frame = records.frame.with_columns((pl.col(TIME) + 1e7).alias(END))
    with pytest.raises(
        RecordError, match=r"^invented: needs at least 60 jobs that ended before the last 20% were submi"
    ):
        trained(core, predictor, replace(records, frame=frame))


def test_records_of_nothing_but_failed_jobs_are_refused(core: SimpleNamespace, predictor: Predictor) -> None:
    records = core.invented(predictor.name, 120, 7)
    failed = records.frame.with_columns((pl.int_range(pl.len()) > 3).alias(CENSORED))
    with pytest.raises(
        FitError, match=r"^of \d+ records to fit to, only \d did not fail for want of what is predicted;"
    ):
        trained(core, predictor, replace(records, frame=failed))


def test_models_are_those_that_were_asked_for(core: SimpleNamespace) -> None:
    predictor = catalogue.load("workflow-memory")
    names = [one.name for one in core.run(predictor.name, "weighted").models]
    assert names[:4] == ["quantile_ensemble", *core.WEIGHTED.names]
    assert set(names[4:]) <= {"largest_so_far"}
    records = core.invented(predictor.name, 100, 7)
    for name in NAMES:
        plan = replace(core.WEIGHTED, names=(name,), settings=replace(core.SMALL, links=1))
        result = pipeline.train(predictor, records, plan, seed=1, step=lambda text: None)
        assert result.models[0].name == name
        assert "quantile_ensemble" not in [one.name for one in result.models]
