"""What only one process can keep is the same over every connection: outcomes, trainings, keys, statistics, tables."""

import json
from concurrent.futures import ThreadPoolExecutor

import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
IDENTITY = dict(
    zip(("model_type", "model_name", "hardware", "software_name", "software_version"), PATH.split("/"), strict=True)
)  # fmt: skip


def key(name):
    return PATH.replace("turbo", name)


def known(connection, name):
    """What is known of the one key of a model's name."""
    models = {model["model_name"]: model for model in connection.get("/models").good["models"]}
    return models[name]["keys"][0] if name in models else None


def test_an_outcome_finds_its_prediction_wherever_it_is_reported(server, toy):
    with server.each() as connections:
        for owner in connections:
            for reporter in connections:
                made = owner.predict(path=key("outcomes"))
                report = {"prediction_id": made["prediction_id"], "duration_ms": 100.0}
                told = reporter.post("/outcomes", report).good["results"][0]
                assert told["new"]
                assert told["predicted_ms"] == pytest.approx(toy.point("A100", 80), rel=1e-6)
                again = owner.post("/outcomes", report).good["results"][0]
                assert not again["new"]
        told = [known(connection, "outcomes") for connection in connections]
        assert told[0] == told[1]
        assert (told[0]["outcomes"], told[0]["predictions"]) == (4, {"fallback": 4})
        mixed = [one.predict(path=key("outcomes"))["prediction_id"] for one in connections]
        body = [{"prediction_id": one, "duration_ms": 90.0} for one in (*mixed, "0123abcdw9-1", "0123abcdw1-1", "x")]
        answer = connections[1].post("/outcomes", body).good
        assert [one["status"] for one in answer["results"]] == ["success"] * 2 + ["error"] * 3
        assert "is not known, or not any more" in answer["results"][2]["message"]


def test_what_is_wrong_with_a_report_is_told_alike(server):
    bodies = (
        {"duration_ms": 1},
        [],
        b"{",
        {"prediction_id": 1, "duration_ms": 1},
        {"prediction_id": "y", "duration_ms": 1},
    )
    with server.each() as connections:
        for body in bodies:
            first, second = (connection.ask("POST", "/outcomes", body) for connection in connections)
            assert first.status in (404, 422)
            assert (first.status, first.body) == (second.status, second.body)
        documents = [connection.get("/openapi.json").json() for connection in connections]
        assert documents[0] == documents[1]


def test_a_training_is_one_over_every_connection_and_answers_in_every_worker(server, toy):
    traces = [
        {"input_feature": {"input_tokens": size}, "duration_ms": toy.point("A100", size, scale=3.0)}
        for size in (8, 80, 800)
    ]
    config = {**IDENTITY, "model_name": "trained", "traces": traces}
    with server.each() as connections:
        job = connections[1].post("/train", {**config, "wait": False})
        assert job.status == 202
        path = f"/train/{job.json()['job']}"
        while (told := connections[0].get(path).good)["state"] in ("waiting", "running"):
            pass
        assert (told["state"], told["version"]) == ("done", 1)

        def poll(_):
            connection = server.open()
            try:
                return connection.get(path).good
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            assert all(one == told for one in pool.map(poll, range(24)))
        for connection in connections:
            made = connection.predict(path=key("trained"))
            assert (made["prediction_method"], made["quantile_predictions"][1]) == (
                "model", pytest.approx(toy.point("A100", 80, scale=3.0), rel=1e-6),
            )  # fmt: skip
            assert connection.get("/train/no-such-job").status == 404


def test_a_table_that_one_worker_wrote_is_read_by_the_others(server, toy):
    mark = "a-boundary"
    file = json.dumps([{"input_feature": {"input_tokens": 80}}])
    head = 'Content-Disposition: form-data; name="trace_file"; filename="t.json"'
    body = f"--{mark}\r\n{head}\r\n\r\n{file}\r\n--{mark}--\r\n"
    with server.each() as connections:
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        answer = connections[0].ask("POST", f"/predict/table/{key('table')}", body.encode(), kind)
        name = answer.good["lookup_table_name"]
        for connection in connections:
            made = connection.predict(path=key("table"), lookup_table=True, lookup_table_name=name)
            assert made["prediction_method"] == "lookup"


def test_statistics_are_those_of_all_workers(server, infer):
    asked = 24
    with server.channel() as channel:
        before = count(inference.GRPCInferenceServiceStub(channel))
    for number in range(asked):
        with server.channel() as channel:
            assert infer(inference.GRPCInferenceServiceStub(channel), number)
    with server.each() as connections, server.channel() as channel:
        assert count(inference.GRPCInferenceServiceStub(channel)) == before + asked
        for connection in connections:
            (line,) = connection.get("/v2/models/toy-latency/stats").good["model_stats"]
            assert int(line["inference_stats"]["success"]["count"]) == before + asked
            assert sum(int(one["compute_infer"]["count"]) for one in line["batch_stats"]) == before + asked
            assert connection.get("/v2/models/nothing/stats").status == 404


def count(stub):
    (line,) = stub.ModelStatistics(oip.ModelStatisticsRequest(name="toy-latency")).model_stats
    assert line.inference_count == line.inference_stats.success.count
    return line.inference_count
