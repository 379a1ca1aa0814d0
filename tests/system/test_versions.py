"""A repository of several versions: which one answers, how a new one takes over, and that a bad one never does."""

import shutil
import time

import grpc
import numpy as np
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc

POLL = ("--model-control", "poll", "--poll-interval", "0.05")
PATIENCE_S = 30


@pytest.fixture
def serve(start, shelf):
    """Start a server on the shelf; gives the stubs of both protocols."""
    channels = []

    def starter(*flags):
        served = start("--models", str(shelf.root), *flags)
        channels.append(served.channel())
        return inference.GRPCInferenceServiceStub(channels[-1]), rpc.JobRuntimePredictorStub(channels[-1])

    yield starter
    for channel in channels:
        channel.close()


def states(stub):
    return {
        (line.name, line.version): (line.state, line.reason)
        for line in stub.RepositoryIndex(oip.RepositoryIndexRequest()).models
    }


def until(condition):
    """Ask again until it holds; every question is a call, so this does not spin."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
    raise AssertionError(f"never came true: {condition}")


def answering(predictor, job):
    return predictor.Predict(pb.PredictRequest(features=job)).model_version


def version_ready(stub, version, name="hpc-runtime"):
    return stub.ModelReady(oip.ModelReadyRequest(name=name, version=str(version))).ready


def test_the_newest_version_answers_and_only_it(shelf, serve, job):
    for version in (1, 2, 10):
        shelf.add(version)
    stub, predictor = serve()
    assert answering(predictor, job) == "10"
    assert {line[1]: state for line, (state, _) in states(stub).items()} == {
        "1": "UNAVAILABLE", "2": "UNAVAILABLE", "10": "READY",
    }  # fmt: skip
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelMetadata(oip.ModelMetadataRequest(name="hpc-runtime", version="2"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "not among the versions served (latest:1)" in caught.value.details()


@pytest.mark.parametrize(
    ("policy", "ready"),
    [("latest:2", {"2", "10"}), ("all", {"1", "2", "10"}), ("specific:1,2", {"1", "2"}), ("specific:2,77", {"2"})],
)
def test_version_policies(shelf, serve, job, policy, ready):
    for version in (1, 2, 10):
        shelf.add(version)
    stub, predictor = serve("--version-policy", policy)
    assert {line[1] for line, (state, _) in states(stub).items() if state == "READY"} == ready
    assert answering(predictor, job) == max(ready, key=int)
    metadata = stub.ModelMetadata(oip.ModelMetadataRequest(name="hpc-runtime"))
    assert set(metadata.versions) == ready


def test_each_named_version_answers_as_itself(shelf, serve, infer_request):
    for version in (3, 5):
        shelf.add(version)
    stub, _ = serve("--version-policy", "all")
    points = {}
    for version in (3, 5):
        request = infer_request(rows=4)
        request.model_version = str(version)
        answer = stub.ModelInfer(request)
        assert answer.model_version == str(version)
        points[version] = np.frombuffer(answer.raw_output_contents[1], "<f4") / shelf.factor(version)
    np.testing.assert_allclose(points[3], points[5], rtol=1e-6)


def test_a_pinned_version_goes_before_the_servers_policy(shelf, serve, job):
    for version in (1, 2):
        shelf.add(version)
    (shelf.home / "config.pbtxt").write_text('name: "hpc-runtime"\nversion_policy { specific { versions: [1] } }\n')
    stub, predictor = serve(*POLL)
    assert answering(predictor, job) == "1"
    config = stub.ModelConfig(oip.ModelConfigRequest(name="hpc-runtime")).config
    assert list(config.version_policy.specific.versions) == [1]
    (shelf.home / "config.pbtxt").write_text('name: "hpc-runtime"\n')
    until(lambda: answering(predictor, job) == "2")


@pytest.mark.parametrize("damaged", ["version_policy { nonsense", "zz{" * 5000 + "}" * 5000], ids=["cut", "nested"])
def test_a_damaged_configuration_changes_nothing(shelf, serve, job, damaged):
    shelf.add(1)
    stub, predictor = serve(*POLL)
    (shelf.home / "config.pbtxt").write_text(damaged)
    shelf.add(2)
    reason = until(lambda: states(stub).get(("hpc-runtime", ""), ("", ""))[1])
    assert "config.pbtxt: is not a model configuration" in reason
    assert answering(predictor, job) == "1"
    (shelf.home / "config.pbtxt").unlink()
    until(lambda: answering(predictor, job) == "2")


def test_a_new_version_takes_over_and_the_old_one_leaves(shelf, serve, job):
    shelf.add(1)
    stub, predictor = serve(*POLL)
    assert answering(predictor, job) == "1"
    shelf.add(2)
    until(lambda: answering(predictor, job) == "2")
    until(lambda: states(stub)["hpc-runtime", "1"][0] == "UNAVAILABLE")
    assert version_ready(stub, 2)
    assert not version_ready(stub, 1)


def test_a_bad_version_is_refused_with_its_reason_and_the_old_one_goes_on(shelf, serve, job, spoil):
    alter, reason = spoil
    shelf.add(1)
    stub, predictor = serve(*POLL)
    shelf.add(2, alter)
    state, told = until(
        lambda: states(stub).get(("hpc-runtime", "2"), ("", ""))[1] and states(stub)["hpc-runtime", "2"]
    )
    assert state == "UNAVAILABLE"
    assert told.startswith("refused: ")
    assert reason in told
    assert answering(predictor, job) == "1"
    assert not version_ready(stub, 2)


def test_a_bad_version_at_the_start_leaves_the_one_before(shelf, serve, job, spoils):
    shelf.add(1)
    shelf.add(2, spoils[0][0])
    stub, predictor = serve()
    assert answering(predictor, job) == "1"
    assert states(stub)["hpc-runtime", "2"][1].startswith("refused: ")


def test_a_served_version_that_is_damaged_on_disk_goes_on(shelf, serve, job, spoils):
    folder = shelf.add(1)
    stub, predictor = serve(*POLL)
    before = predictor.Predict(pb.PredictRequest(features=job)).predicted_runtime_seconds
    spoils[1][0](folder)
    state, reason = until(lambda: states(stub)["hpc-runtime", "1"][1] and states(stub)["hpc-runtime", "1"])
    assert state == "READY"
    assert reason.endswith("what was loaded before goes on serving")
    assert predictor.Predict(pb.PredictRequest(features=job)).predicted_runtime_seconds == before


def test_a_mended_version_is_taken(shelf, serve, job, spoils):
    shelf.add(1)
    folder = shelf.add(2, spoils[1][0])
    _, predictor = serve(*POLL)
    assert answering(predictor, job) == "1"
    spoils[1][0](folder)  # flips the bit back
    until(lambda: answering(predictor, job) == "2")


def test_a_version_taken_away_is_unloaded(shelf, serve, job):
    shelf.add(1)
    second = shelf.add(2)
    stub, predictor = serve(*POLL)
    assert answering(predictor, job) == "2"
    second.rename(shelf.root / ".gone")
    until(lambda: answering(predictor, job) == "1")
    until(lambda: ("hpc-runtime", "2") not in states(stub))


def test_the_whole_model_taken_away(shelf, serve, job):
    shelf.add(1)
    stub, predictor = serve(*POLL)
    shelf.home.rename(shelf.root / ".gone")
    until(lambda: not stub.ServerReady(oip.ServerReadyRequest()).ready)
    with pytest.raises(grpc.RpcError) as caught:
        answering(predictor, job)
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
    (shelf.root / ".gone").rename(shelf.home)
    until(lambda: stub.ServerReady(oip.ServerReadyRequest()).ready)
    assert answering(predictor, job) == "1"


@pytest.mark.parametrize("name", ["Bad Name", "über", "a;b", "..hidden", "UPPER", "a" * 120])
def test_odd_folder_names_are_refused(shelf, serve, job, name):
    shelf.add(1)
    shelf.home.joinpath("1").rename(shelf.root / ".kept")
    (shelf.root / name).mkdir()
    (shelf.root / ".kept").rename(shelf.root / name / "1")
    shelf.add(1)
    stub, predictor = serve()
    found = {line: reason for line, (_, reason) in states(stub).items() if line[0] == name}
    if name.startswith("."):
        assert found == {}
    else:
        assert "a model's name must match" in found[name, ""]
    assert answering(predictor, job) == "1"
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(oip.ModelInferRequest(model_name=name))
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("name", ["01", "-1", "0", "1x", "v2", "2.0"])
def test_odd_version_folders_are_refused(shelf, serve, job, name):
    shelf.add(1)
    (shelf.home / name).mkdir()
    stub, predictor = serve()
    assert "a version must be a positive integer" in states(stub)["hpc-runtime", name][1]
    assert answering(predictor, job) == "1"


def test_links_that_lead_outside_are_refused(shelf, serve, job, tmp_path):
    shelf.add(7)
    (shelf.home / "7").rename(tmp_path / "7")
    shelf.add(1)
    (shelf.home / "7").symlink_to(tmp_path / "7")
    stub, predictor = serve()
    assert "leads outside the repository" in states(stub)["hpc-runtime", "7"][1]
    assert answering(predictor, job) == "1"


def test_names_of_callers_never_reach_the_disk(serve, shelf):
    shelf.add(1)
    stub, _ = serve("--model-control", "explicit", "--load-model", "hpc-runtime")
    for name in ("../hpc-runtime", "hpc-runtime/1", "/etc", "..", "", "hpc-runtime\0"):
        with pytest.raises(grpc.RpcError) as caught:
            stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name=name))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND, name


def test_control_over_the_network_is_off(shelf, serve):
    shelf.add(1)
    for flags in ((), POLL):
        stub, _ = serve(*flags)
        for call, kind in (
            (stub.RepositoryModelLoad, oip.RepositoryModelLoadRequest),
            (stub.RepositoryModelUnload, oip.RepositoryModelUnloadRequest),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(kind(model_name="hpc-runtime"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "--model-control explicit" in caught.value.details()


def test_explicit_control(shelf, serve, job, spoils):
    shelf.add(1)
    stub, predictor = serve("--model-control", "explicit")
    load = oip.RepositoryModelLoadRequest(model_name="hpc-runtime")
    assert not stub.ServerReady(oip.ServerReadyRequest()).ready
    with pytest.raises(grpc.RpcError) as caught:
        answering(predictor, job)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    stub.RepositoryModelLoad(load)
    assert answering(predictor, job) == "1"
    assert stub.ServerReady(oip.ServerReadyRequest()).ready
    shelf.add(2)
    assert answering(predictor, job) == "1"
    stub.RepositoryModelLoad(load)
    assert answering(predictor, job) == "2"
    shelf.add(3, spoils[0][0])
    with pytest.raises(grpc.RpcError) as caught:
        stub.RepositoryModelLoad(load)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "refused: " in caught.value.details()
    assert "version 2 goes on serving" in caught.value.details()
    assert answering(predictor, job) == "2"
    stub.RepositoryModelUnload(oip.RepositoryModelUnloadRequest(model_name="hpc-runtime"))
    with pytest.raises(grpc.RpcError) as caught:
        answering(predictor, job)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    until(lambda: states(stub)["hpc-runtime", "2"] == ("UNAVAILABLE", "unloaded by request"))


def test_loading_after_the_newest_version_was_deleted_says_what_serves(shelf, serve):
    for version in (1, 2):
        shelf.add(version)
    stub, _ = serve("--model-control", "explicit", "--load-model", "hpc-runtime")
    shutil.rmtree(shelf.root / "hpc-runtime" / "2")
    stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="hpc-runtime"))
    assert states(stub)["hpc-runtime", "1"][0] == "READY"


def test_a_bundle_with_narrower_rules_is_warmed_up_within_them(shelf, serve, bundles, job):
    folder = shelf.add(1)
    narrow = {"wallclock_req": 300.0, "processors_req": 2.0}
    bundles.edit(folder, lambda m: [i.update(minimum=narrow[i["name"]]) for i in m["inputs"] if i["name"] in narrow])
    _, predictor = serve()
    job.wallclock_req = 299.0
    with pytest.raises(grpc.RpcError, match="wallclock_req: must be finite and >= 300, got 299"):
        predictor.Predict(pb.PredictRequest(features=job))


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_loading_never_writes_files(shelf, serve, name):
    shelf.add(1)
    before = sorted(str(path) for path in shelf.root.rglob("*"))
    stub, _ = serve("--model-control", "explicit")
    request = oip.RepositoryModelLoadRequest(model_name="hpc-runtime")
    request.parameters[name].bytes_param = b"x"
    with pytest.raises(grpc.RpcError) as caught:
        stub.RepositoryModelLoad(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert name in caught.value.details()
    assert sorted(str(path) for path in shelf.root.rglob("*")) == before


def test_a_version_is_not_unloaded_while_a_request_holds_it(shelf, serve, infer_request):
    shelf.add(1)
    stub, _ = serve(*POLL)
    running = [stub.ModelInfer.future(infer_request(rows=10_000)) for _ in range(3)]
    shelf.add(2)
    seen = set()

    def done():
        seen.add(states(stub)["hpc-runtime", "1"][0])
        return all(call.done() for call in running)

    until(done)
    for call in running:
        answer = call.result()
        assert len(answer.raw_output_contents[1]) == 40_000
    until(lambda: states(stub)["hpc-runtime", "1"][0] == "UNAVAILABLE")
