"""Law: one definition of a feature. Training rows sent through the running server come back bit-equal to what the
offline columns give in the same graph."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from jobcast_training import predictors
from jobcast_training.columns import input_columns
from jobcast_training.history import History
from jobcast_training.records import Records
from jobcast_training.sources import read
from jobcast_training.sources.synthetic import generate

ROWS = 3_000
TASK = predictors.load("hpc-runtime")
BUNDLE = max((Path(__file__).parents[2] / "models" / "hpc-runtime").glob("[0-9]*"), key=lambda path: int(path.name))

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = 1
SESSION = onnxruntime.InferenceSession((BUNDLE / "model.onnx").read_bytes(), OPTIONS)


@pytest.fixture(scope="module", params=["synthetic", "hpc-sdsc-blue-2000", "hpc-hpc2n-2002"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Records:
    if request.param == "synthetic":
        path = tmp_path_factory.mktemp("log") / "jobs.parquet"
        generate(20_000, 11, path)
    elif "LOGS" in os.environ:
        path = Path(os.environ["LOGS"]) / request.param / "jobs.parquet"
    else:
        pytest.skip("LOGS does not name the folder of public job logs")
    records = read([path])
    # What the wire requires of every caller, where a log does not hold it.
    frame = records.frame.with_columns(
        pl.col("nodes_req").fill_null(1),
        pl.col("qos").fill_null("none"),
        pl.col("partition").fill_null("none"),
        pl.col("submit_time").floor(),
    ).filter(pl.col("wallclock_req") > 0, pl.col("processors_req") > 0)
    return Records(frame, records.source)


def job(row: dict[str, object], recent: np.ndarray) -> pb.JobFeatures:
    optional = {name: row[name] for name in ("gpus_req", "user", "account", "job_name") if row[name] is not None}
    return pb.JobFeatures(
        processors_req=row["processors_req"],
        nodes_req=row["nodes_req"],
        mem_req=row["mem_req"] or 0.0,
        wallclock_req=row["wallclock_req"],
        partition=row["partition"],
        qos=row["qos"],
        submit_time=int(row["submit_time"]),
        recent_runtimes=recent[~np.isnan(recent)].tolist(),
        **optional,
    )


def test_training_rows_come_back_bit_equal(server: object, log: Records) -> None:
    history, start = History.of(log), log.frame.height // 3
    stop = start + ROWS
    known = {one.name for one in SESSION.get_inputs()}  # the bundle may be older than an input of today
    columns = input_columns(log.frame, history, [one for one in TASK.inputs if one.name in known], start, stop)
    for name in set(columns) - set(pb.JobFeatures.DESCRIPTOR.fields_by_name):  # what the contract cannot say
        columns[name] = np.full_like(columns[name], np.nan)
    quantiles, point = SESSION.run(["quantiles", "point"], dict(columns))
    rows = log.frame.slice(start, ROWS).iter_rows(named=True)
    jobs = [job(row, recent) for row, recent in zip(rows, columns["recent_runtimes"], strict=True)]
    with server.channel() as channel:  # type: ignore[attr-defined]
        stub = rpc.JobRuntimePredictorStub(channel)
        batch = stub.PredictBatch(pb.PredictBatchRequest(jobs=jobs)).predictions
        singles = [stub.Predict(pb.PredictRequest(features=one)) for one in jobs[::30]]
        streamed = list(stub.PredictStream(iter([pb.PredictRequest(features=one) for one in jobs[::10]])))
    for answers, step in ((batch, 1), (singles, 30), (streamed, 10)):
        got = np.array([answer.quantile_seconds for answer in answers])
        np.testing.assert_array_equal(got, quantiles[::step].astype(np.float64))
        points = np.array([answer.predicted_runtime_seconds for answer in answers])
        np.testing.assert_array_equal(points, point[::step, 0].astype(np.float64))
    assert np.unique(point).size > ROWS / 10, "the rows differ, so equality says something"
