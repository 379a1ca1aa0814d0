"""What models are compared with knows no more than they do."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.declaration import AMOUNT, END, TIME

ROWS = 400


def test_a_job_that_had_not_ended_when_the_test_part_began_teaches_no_baseline(core: SimpleNamespace) -> None:
    """Every third job before the test part runs beyond all records; how much such a job needs changes nothing."""
    predictor, records = catalogue.load("build-memory"), core.invented("build-memory", ROWS, 5)
    row = pl.int_range(pl.len())
    late = (row % 3 == 0) & (row < pipeline.split_of(ROWS))
    frame = records.frame.with_columns(pl.when(late).then(pl.col(TIME).max() + 1).otherwise(pl.col(END)).alias(END))
    larger = frame.with_columns(pl.when(late).then(pl.col(AMOUNT) * 50).otherwise(pl.col(AMOUNT)).alias(AMOUNT))
    plan = pipeline.Plan(names=("lightgbm_regression",), settings=core.SMALL)
    found, expected = (
        pipeline.train(predictor, replace(records, frame=own), plan, seed=1, step=lambda name: None).baselines
        for own in (larger, frame)
    )
    assert [one.name for one in found] == [one.name for one in expected]
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own.test, other.test, err_msg=own.name)
        np.testing.assert_array_equal(own.validation, other.validation, err_msg=own.name)
