"""Models come and go in all workers at once, or in none; one that comes back serves what the others serve."""

import os
import signal

import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference

TOY = "/v2/models/toy-latency"
EXPLICIT = ("--listener", "asyncio", "--model-control", "explicit", "--load-model", "llm-latency")


def load(connection, name="toy-latency", act="load"):
    return connection.post(f"/v2/repository/models/{name}/{act}", {})


def served_version(connection):
    answer = connection.get(TOY)
    return answer.json()["versions"] if answer.status == 200 else answer.status


def test_what_one_connection_loads_every_worker_serves(start, bundles, tmp_path, until, without_files):
    served = start(*EXPLICIT)
    with served.each() as connections, served.channel() as channel:
        first, other = connections
        assert [served_version(connection) for connection in connections] == [503, 503]
        for asked in connections:
            assert load(asked).good == {}
            assert [served_version(connection) for connection in connections] == [["1"], ["1"]]
            assert load(asked, act="unload").good == {}
            assert [connection.get(f"{TOY}/ready").status for connection in connections] == [503, 503]
        stub = inference.GRPCInferenceServiceStub(channel)
        stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="toy-latency"))
        assert [served_version(connection) for connection in connections] == [["1"], ["1"]]
        missing = load(other, "nothing")
        assert (missing.status, missing.json()) == (404, {"error": "model 'nothing': not in the repository"})

        bundles.flip(bundles.toy(tmp_path / "models", 2))
        for asked in connections:  # refused alike, and what served goes on
            refused = load(asked)
            assert refused.status == 409
            assert "version 1 goes on serving" in refused.json()["error"]
            assert "worker" not in refused.json()["error"]
        assert [served_version(connection) for connection in connections] == [["1"], ["1"]]

        bundles.toy(tmp_path / "models", 3)
        with without_files(served.pid(1)):
            refused = load(first)
        assert refused.status == 409
        assert "model toy-latency: worker 1: " in refused.json()["error"]
        assert "workers 0 have what was asked for; ask again" in refused.json()["error"]
        assert load(other).good == {}
        assert [served_version(connection) for connection in connections] == [["3"], ["3"]]

        assert load(first, act="unload").good == {}
        with without_files(served.pid(1)):
            refused = load(first)
        assert refused.status == 409
        assert "it was dropped in the other workers" in refused.json()["error"]
        until(lambda: [served_version(connection) for connection in connections] == [503, 503])


def test_one_that_comes_back_serves_what_the_others_serve(start, bundles, tmp_path):
    served = start(*EXPLICIT)
    with served.each() as connections:
        assert load(connections[1]).good == {}
    bundles.toy(tmp_path / "models", 2)  # nobody has asked for it
    os.kill(served.pid(1), signal.SIGKILL)
    served.wait("worker is back")
    with served.each() as connections:
        assert [served_version(connection) for connection in connections] == [["1"], ["1"]]
        assert load(connections[0]).good == {}
        assert [served_version(connection) for connection in connections] == [["2"], ["2"]]


def test_all_follow_the_folder(start, bundles, tmp_path, until):
    served = start("--listener", "asyncio", "--model-control", "poll", "--poll-interval", "0.05")
    bundles.toy(tmp_path / "models", 2)
    with served.each() as connections:
        until(lambda: [served_version(connection) for connection in connections] == [["2"], ["2"]])
        assert load(connections[1]).status == 403


def test_one_that_is_told_to_end_is_replaced_with_the_same_versions_and_its_counts_stay(start, bundles, tmp_path):
    served = start("--listener", "asyncio")
    with served.each() as connections:
        for _ in range(5):
            connections[1].predict(path="a/counted/c/d/e")
    bundles.toy(tmp_path / "models", 2)  # nobody follows the folder
    os.kill(served.pid(1), signal.SIGTERM)
    served.wait("worker is back")
    samples = served.metrics()  # nobody looked before
    counted = (("method", "fallback"), ("model_key", "a/counted/c/d/e"))
    assert samples["jobcast_task_predictions_total", counted] == 5
    with served.each() as connections:
        assert [served_version(connection) for connection in connections] == [["1"], ["1"]]
        models = {model["model_name"]: model for model in connections[1].get("/models").good["models"]}
        assert "counted" not in models  # what a worker remembers goes with it, as with a server
