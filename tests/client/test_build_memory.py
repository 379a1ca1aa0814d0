"""The shipped `build-memory`: a raw record has the same bits through Python, the command, gRPC and REST."""

import http.client
import json

import grpc
import numpy as np
import onnxruntime
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import pytest
import serving
from jobcast import DeployableModel
from jobcast.errors import InputError

BUNDLE = serving.MODELS / "build-memory" / "1"
COMMAND_ROWS = 40


@pytest.fixture(scope="module")
def server():
    with serving.running() as ready:
        yield ready


@pytest.fixture(scope="module")
def records():
    """Records as a build system has them: its own names and units, gaps, labels known and new."""
    rng = np.random.default_rng(7)
    profiles = ["linuxx86_64-gcc-release", "linuxx86_64-clang-asan", "linuxppc64le-gcc-debug", "odd", "a-b-c-d-e"]
    found = []
    for row in range(COMMAND_ROWS):
        record = {
            "buildProfile": profiles[row % len(profiles)],
            "branch": f"branch_{row % 7}",
            "component": f"component_{row % 3}",
            "makeType": ["opt", "rel", "dbg", None][row % 4],
            "location": f"location_{row % 5}",
            "target_cnt": int(rng.integers(1, 9)),
            "target_has_dist": bool(row % 2),
            "jobs": int(rng.integers(1, 900)),
            "localJobs": int(rng.integers(1, 64)),
            "memreq_mib": float(rng.integers(10, 400) * 1024),
            "time": 1_750_500_000 + 600 * row,
        }
        if row % 3:
            record["recent_peaks"] = np.round(rng.gamma(4, 20, row % 10 + 1), 3).tolist()
            record["branch_peaks"] = [300.5, 401.25]
        found.append(record)
    return found


@pytest.fixture(scope="module")
def expected(records):
    """What onnxruntime makes of them, converted by hand."""
    session = onnxruntime.InferenceSession(str(BUNDLE / "model.onnx"))
    names = {"buildProfile": "build_profile", "makeType": "make_type", "target_cnt": "target_count"}
    names |= {"target_has_dist": "has_dist", "localJobs": "local_jobs"}
    feeds = {}
    for item in session.get_inputs():
        width = item.shape[1]
        kind = {"tensor(string)": object, "tensor(int64)": np.int64}.get(item.type, np.float64)
        column = np.full((len(records), width), {object: "", np.int64: 0}.get(kind, np.nan), dtype=kind)
        for row, record in enumerate(records):
            plain = {names.get(name, name): value for name, value in record.items()}
            plain["requested_memory"] = record["memreq_mib"] / 1024
            value = plain.get(item.name)
            for place, one in enumerate(value if isinstance(value, list) else [value]):
                if one is not None:
                    column[row, place] = one
        feeds[item.name] = column
    answers = dict(zip((one.name for one in session.get_outputs()), session.run(None, feeds), strict=True))
    return feeds, answers


@pytest.mark.parametrize("field", ["memreq_gib", "recent_peaks", "location_peaks"])
def test_bytes_taken_for_gib_are_refused(field):
    in_bytes = 64.0 * 2**30
    wrong = {"buildProfile": "a", "time": 1_750_500_000, field: [in_bytes] if field.endswith("peaks") else in_bytes}
    with pytest.raises(InputError) as caught:
        DeployableModel.load(BUNDLE).predict([wrong])
    assert f"row 0, column {field}: must be <= 1e+06, got 68719476736.0" in str(caught.value)


def test_python_gives_the_graphs_bits(records, expected):
    model = DeployableModel.load(BUNDLE)
    told = model.predict_distribution(records)
    for name, values in (("quantiles", told.quantiles), ("point", told.point), ("allocation", told.allocation)):
        assert np.array_equal(np.asarray(values, np.float32).reshape(expected[1][name].shape), expected[1][name]), name
    assert np.array_equal(np.float32(model.predict(records)), expected[1]["allocation"][:, 0])
    about = model.get_model_info()
    assert (about["task_type"], about["unit"]) == ("regression", "GiB")


def test_the_command_gives_the_same_bits(run, server, records, expected, tmp_path):
    (tmp_path / "builds.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    address = f"localhost:{server['port']}"
    done = run("predict", "build-memory", "--file", tmp_path / "builds.jsonl", "--json", "--address", address)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert np.array_equal(np.float32([one["allocation"] for one in told]), expected[1]["allocation"][:, 0])
    quantiles = np.float32([list(one["quantiles"].values()) for one in told])
    assert np.array_equal(quantiles, expected[1]["quantiles"])


def test_grpc_and_rest_give_the_same_bits(server, expected):
    feeds, answers = expected
    request = pb.ModelInferRequest(model_name="build-memory")
    told = []
    for name, values in feeds.items():
        kind = {"f": "FP64", "i": "INT64", "O": "BYTES"}[values.dtype.kind]
        tensor = request.inputs.add(name=name, datatype=kind, shape=values.shape)
        data = values.reshape(-1).tolist()
        if kind == "BYTES":
            tensor.contents.bytes_contents.extend(text.encode() for text in data)
        else:
            getattr(tensor.contents, f"{kind.lower()}_contents").extend(data)
        data = [None if one != one else one for one in data]
        told.append({"name": name, "datatype": kind, "shape": list(values.shape), "data": data})
    with grpc.insecure_channel(f"localhost:{server['port']}") as channel:
        answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        assert np.array_equal(np.frombuffer(raw, "<f4").reshape(tensor.shape), answers[tensor.name]), tensor.name
    connection = http.client.HTTPConnection("localhost", server["http_port"], timeout=30)
    connection.request("POST", "/v2/models/build-memory/infer", json.dumps({"inputs": told}))
    document = json.loads(connection.getresponse().read())
    connection.close()
    for one in document["outputs"]:
        assert np.array_equal(np.float32(one["data"]).reshape(one["shape"]), answers[one["name"]]), one["name"]


def test_an_unknown_category_a_negative_amount_and_mixed_units_are_named(run, server):
    address = f"localhost:{server['port']}"
    common = ("predict", "build-memory", "--address", address, "--set", "build_profile=a-b-c", "--set")
    for pairs, said in (
        (("make_type=dgb",), b"did you mean 'dbg'"),
        (("requested_memory=-2",), b"requested_memory"),
        (("memreq_mib=2048", "--set", "requested_memory=1"), b"memreq_mib"),
        (("colour=red",), b"colour"),
    ):
        done = run(*common, *pairs)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
