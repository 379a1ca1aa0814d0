"""A replay of the log that a shipped bundle was trained on comes to the bundle's own figures of its test period."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobcast import InferenceClient
from jobcast_ui.batch import mapping, upload
from jobcast_ui.simulation.ledger import standing
from jobcast_ui.simulation.log import Choice, read_log
from jobcast_ui.simulation.replay import Replay


def test_of_builds_history_and_coverage_are_those_of_training(server: Any) -> None:
    if "LOGS" not in os.environ:
        pytest.skip("needs the variable LOGS: the folder of public logs, with mem-sap-builds/")
    path = Path(os.environ["LOGS"]) / "mem-sap-builds" / "builds-2025-06-part1.parquet"
    file = upload.read(path.name, path.read_bytes())
    with InferenceClient(server.address, timeout=60) as client:
        schema, most = client.schema("build-memory")
        manifest = client.manifest("build-memory")
        inputs = mapping.mapped(schema, file.columns, mapping.guess(schema, list(file.columns)))
        choice = Choice("max_rss_bytes", factor=1 / 2**30, time="time", assumed_hours=0.0)
        log = read_log(path.name, schema, inputs, file.columns, choice, written=file.written)
        replay = Replay(log, schema, most)
        replay.predict(client, log.jobs)
    tested = slice(log.jobs - manifest.training_data.test_rows, log.jobs)
    actual, quantiles = log.actual[tested], replay.quantiles[tested]
    levels = list(schema.quantile_levels)
    assert np.abs(actual - replay.points[tested]).mean() == pytest.approx(manifest.test["mae"], rel=1e-6)
    covered = np.mean((quantiles[:, 0] <= actual) & (actual <= quantiles[:, -1 - levels[::-1].index(0.975)]))
    assert covered == pytest.approx(manifest.test["coverage_interval"])
    assert np.mean(actual <= quantiles[:, levels.index(0.9)]) == pytest.approx(manifest.test["below_90"])
    under = 100 * np.mean(replay.allocations[tested] < actual)
    assert under == pytest.approx(manifest.test["under_percent"])
    now = standing(replay, float(log.end.max()))
    assert now.ended == log.jobs
    assert now.presets["balanced"] is not None
