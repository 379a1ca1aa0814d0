"""What the servers count does not depend on the engine."""

import re

import numpy as np
import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.rows import batch_requests, single_requests

SERVICE = "/rtpredictor.v1.JobRuntimePredictor/"
INFER = "/inference.GRPCInferenceService/ModelInfer"
COUNTED = re.compile(
    r"(rt_predictor_(requests_total|request_duration_seconds_count|prediction_duration_seconds_count|batch_size_(bucket|sum))"
    r"|jobcast_requests_total|jobcast_model_(rows|passes|failures)_total|jobcast_model_\w+_seconds_count"
    r"|jobcast_model_batch_rows_(bucket|sum)|jobcast_request_duration_seconds_count)\b"
)


def counts(served):
    return {name: value for name, value in served.metrics().items() if COUNTED.match(name)}


@pytest.fixture
def traffic(raw_request, golden):
    """Good and bad requests of every hot method, one after the other."""
    good, columns = single_requests(5)[:20], golden["hpc-runtime"]
    spoiled = {name: values[:3].copy() for name, values in columns.items()}
    spoiled["nodes_req"][1] = 0
    asked = [(SERVICE + "Predict", content) for content in [*good, b"", b"\xff", *good[:3]]]
    explained = pb.PredictRequest.FromString(good[0])
    explained.metadata["feature_importance"] = "true"
    asked.append((SERVICE + "Predict", explained.SerializeToString()))
    mixed = pb.PredictBatchRequest.FromString(batch_requests(40, 5)[0])
    mixed.jobs[7].qos = ""
    asked += [(SERVICE + "PredictBatch", content) for content in (b"", mixed.SerializeToString())]
    asked += [(SERVICE + "PredictBatch", batch_requests(rows, 5)[0]) for rows in (1, 32, 33, 600)]
    for rows in (1, 5, 32, 33):
        chosen = {name: values[np.arange(rows) % len(values)] for name, values in columns.items()}
        asked.append((INFER, raw_request("hpc-runtime", chosen).SerializeToString()))
    asked += [(INFER, content) for content in (raw_request("hpc-runtime", spoiled).SerializeToString(), b"\xff")]
    return asked


def test_the_same_traffic_counts_the_same(both, traffic):
    before = counts(both.native), counts(both.python)
    for method, content in traffic:
        both.native.ask(method, content)
        both.python.ask(method, content)
    grown = []
    for served, known in zip((both.native, both.python), before, strict=True):
        found = counts(served)
        grown.append(
            {name: value - known.get(name, 0.0) for name, value in found.items() if value != known.get(name, 0.0)}
        )
    assert grown[0] == grown[1]
    assert grown[0]['rt_predictor_requests_total{method="Predict",status="success"}'] == 24
    assert grown[0]['jobcast_model_rows_total{model="hpc-runtime",version="1"}'] == 24 + 39 + 666 + 71


def test_the_metrics_name_the_engine(both):
    for served, engine in ((both.native, "native"), (both.python, "python")):
        name = f'jobcast_model_engine_info{{engine="{engine}",model="hpc-runtime",version="1"}}'
        assert served.metrics()[name] == 1
