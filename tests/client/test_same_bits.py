"""One raw record gives one number, to the bit, by every way in; and every way in refuses the same wrong records."""

import csv
import http.client
import io
import json
from datetime import UTC, datetime

import grpc
import numpy as np
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import pandas
import polars
import pytest
from jobcast import DeployableModel

ROWS = 300
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def model(memory_bundle):
    return DeployableModel.load(memory_bundle)


@pytest.fixture(scope="module")
def typed(memory):
    """Columns of typed values in the inputs' units, and what onnxruntime itself makes of them."""
    return memory.made_up(ROWS)


@pytest.fixture(scope="module")
def expected(memory, memory_bundle, typed):
    return memory.answers((memory_bundle / "model.onnx").read_bytes(), typed)


@pytest.fixture(scope="module")
def raw(typed):
    """The same as raw records, under other names and in other units."""
    return {
        "buildProfile": typed["build_profile"],
        "makeType": typed["make_type"],
        "jobs": [None if jobs is None else int(jobs) for jobs in typed["jobs"]],
        "memreq_mib": [None if gib is None else round(gib * 1024) for gib in typed["requested_memory"]],
        "has_dist": [None if dist is None else bool(dist) for dist in typed["has_dist"]],
        "cores": typed["cores"],
        "timestamp": [datetime.fromtimestamp(moment, UTC) for moment in typed["time"]],
        "recent_peaks": [[peak for peak in peaks if peak is not None] for peaks in typed["recent_peaks"]],
        "max_rss": list(range(ROWS)),
    }


@pytest.fixture(scope="module")
def records(raw):
    return [dict(zip(raw, row, strict=True)) for row in zip(*raw.values(), strict=True)]


def same(found, expected):
    for name, values in expected.items():
        got = np.asarray(found[name])
        assert np.array_equal(got.reshape(values.shape), values.astype(got.dtype)), name


def of(forecast):
    return {"quantiles": forecast.quantiles, "point": forecast.point, "allocation": forecast.allocation}


def test_python_gives_what_onnxruntime_gives_from_every_kind_of_frame(model, raw, records, expected):
    naive = raw | {"timestamp": [moment.replace(tzinfo=None) for moment in raw["timestamp"]]}
    for frame in (
        raw,
        records,
        iter(records),
        naive,
        polars.DataFrame(raw),
        polars.DataFrame(naive),
        pandas.DataFrame(raw),
        pandas.DataFrame(naive),
        pandas.DataFrame(raw).convert_dtypes(),
        raw | {"timestamp": np.array(naive["timestamp"], "datetime64[ns]"), "cores": np.array(raw["cores"])},
        raw | {"timestamp": [moment.isoformat() for moment in raw["timestamp"]]},
    ):
        forecast = model.predict_distribution(frame)
        same(of(forecast), expected)
        assert forecast.ignored == ("max_rss",)
    recommended = model.predict(raw)
    assert (recommended.dtype, recommended.shape) == (np.dtype(np.float64), (ROWS,))
    assert np.array_equal(recommended, expected["allocation"][:, 0].astype(np.float64))
    assert np.array_equal(forecast.interval, expected["quantiles"][:, [0, 2]])


def test_a_record_alone_has_the_bits_that_it_has_among_others(model, records, expected):
    for row in (0, 7, ROWS - 1):
        same(of(model.predict_distribution([records[row]])), {n: v[row : row + 1] for n, v in expected.items()})


def test_the_command_gives_the_same_from_every_kind_of_file(run, memory_server, raw, records, expected, tmp_path):
    def text(value):
        if isinstance(value, list):
            return ",".join(map(repr, value))
        return "" if value is None else value.isoformat() if isinstance(value, datetime) else value

    names = list(raw)
    with (tmp_path / "raw.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *([text(record[name]) for name in names] for record in records)])
    lines = [json.dumps(record | {"timestamp": record["timestamp"].timestamp()}) for record in records]
    (tmp_path / "raw.jsonl").write_text("\n".join(lines))
    polars.DataFrame(raw).write_parquet(tmp_path / "raw.parquet")
    for name in ("raw.csv", "raw.jsonl", "raw.parquet"):
        done = run("predict", "toy-memory", "--file", tmp_path / name, "--json", "--address", memory_server["address"])
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        found = {key: [one[key] for one in told] for key in ("point", "allocation", "recommended")}
        same(found | {"quantiles": [list(one["quantiles"].values()) for one in told]}, expected)
        assert np.array_equal(found["recommended"], found["allocation"])

        flags = ("--out", tmp_path / "out.csv", "--address", memory_server["address"])
        assert run("predict", "toy-memory", "--file", tmp_path / name, *flags).returncode == 0
        table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
        same({key: [float(one[key]) for one in table] for key in ("point",)}, {"point": expected["point"]})


def test_the_command_gives_the_same_for_one_record(run, memory_server, typed, expected):
    for row in (0, 1, 2, 3):
        given = {name: values[row] for name, values in typed.items() if name != "requested_memory"}
        if typed["requested_memory"][row] is not None:
            given["memreq_mib"] = typed["requested_memory"][row] * 1024
        given["recent_peaks"] = ",".join(repr(peak) for peak in given["recent_peaks"] if peak is not None)
        pairs = [part for name, value in given.items() if value is not None for part in ("--set", f"{name}={value}")]
        done = run("predict", "toy-memory", *pairs, "--json", "--address", memory_server["address"])
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        same(
            {
                "point": [told["point"]],
                "allocation": [told["allocation"]],
                "quantiles": [[*told["quantiles"].values()]],
            },
            {name: values[row : row + 1] for name, values in expected.items()},
        )


def tensors(memory, typed):
    return [
        (name, {"f": "FP64", "i": "INT64", "O": "BYTES"}[values.dtype.kind], values)
        for name, values in memory.arrays(typed).items()
    ]


def packed(values):
    if values.dtype.kind != "O":
        return values.tobytes()
    texts = [text.encode() for text in values.reshape(-1)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def message(memory, typed, contents=False):
    request = pb.ModelInferRequest(model_name="toy-memory")
    for name, datatype, values in tensors(memory, typed):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=values.shape)
        if not contents:
            request.raw_input_contents.append(packed(values))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(text.encode() for text in values.reshape(-1))
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(values.reshape(-1).tolist())
    return request


def over_grpc(server, request):
    with grpc.insecure_channel(server["address"]) as channel:
        answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    return {
        tensor.name: np.frombuffer(data, "<f4").reshape(tensor.shape)
        for tensor, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def over_rest(server, body, headers):
    connection = http.client.HTTPConnection(*server["http"], timeout=30)
    connection.request("POST", "/v2/models/toy-memory/infer", body, headers)
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def documents(memory, typed):
    """REST bodies with their headers: JSON, and binary."""
    told, tail, bare = [], [], []
    for name, datatype, values in tensors(memory, typed):
        about = {"name": name, "datatype": datatype, "shape": list(values.shape)}
        data = [None if value != value else value for value in values.reshape(-1).tolist()]
        told.append(about | {"data": data})
        tail.append(packed(values))
        bare.append(about | {"parameters": {"binary_data_size": len(tail[-1])}})
    head = json.dumps({"inputs": bare}).encode()
    yield json.dumps({"inputs": told}), {}
    yield b"".join((head, *tail)), {LENGTH: str(len(head))}


def test_every_tensor_request_gives_the_same(memory, memory_server, typed, expected):
    for contents in (False, True):
        same(over_grpc(memory_server, message(memory, typed, contents)), expected)
    for body, headers in documents(memory, typed):
        status, told = over_rest(memory_server, body, headers)
        assert status == 200, told
        found = {one["name"]: np.array(one["data"], np.float32) for one in told["outputs"]}
        same(found, expected)


def test_inputs_that_are_not_required_may_be_left_out(memory, memory_server, memory_bundle, model, typed):
    rows = 3
    few = {name: typed[name][:rows] for name in ("build_profile", "time")}
    full = few | {
        "make_type": [""] * rows, "jobs": [None] * rows, "requested_memory": [None] * rows, "has_dist": [None] * rows,
        "cores": [4.0] * rows, "recent_peaks": [[None] * 10] * rows,
    }  # fmt: skip
    expected = memory.answers((memory_bundle / "model.onnx").read_bytes(), full)
    request = message(memory, full)
    kept = [place for place, tensor in enumerate(request.inputs) if tensor.name in few]
    short = pb.ModelInferRequest(model_name="toy-memory", inputs=[request.inputs[place] for place in kept])
    short.raw_input_contents.extend(request.raw_input_contents[place] for place in kept)
    same(over_grpc(memory_server, short), expected)
    same(of(model.predict_distribution(few)), expected)


WRONG = [
    ("make_type", "dgb", "inputs[make_type][1]: must be one of 'opt', 'rel', 'dbg', or empty where it is not known, "
     "got 'dgb'; did you mean 'dbg'?"),
    ("requested_memory", -2.0, "inputs[requested_memory][1]: must be finite and >= 0, or NaN where it is"),
    ("build_profile", "", "inputs[build_profile][1]: must not be empty"),
    ("time", -1, "inputs[time][1]: must be >= 0, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text"), WRONG, ids=[name for name, _, _ in WRONG])
def test_a_wrong_value_is_named_on_every_path(memory, memory_server, typed, name, value, text):
    for rows in (2, 300):  # read at once, and in pieces on a worker thread
        spoilt = {key: values[:rows] for key, values in typed.items()}
        spoilt[name] = [spoilt[name][0], value, *spoilt[name][2:]]
        for contents in (False, True):
            with pytest.raises(grpc.RpcError) as caught:
                over_grpc(memory_server, message(memory, spoilt, contents))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert caught.value.details().startswith(text)
        for body, headers in documents(memory, spoilt):
            status, told = over_rest(memory_server, body, headers)
            assert (status, told["error"].startswith(text)) == (400, True), told


def test_a_model_of_another_predictor_is_described_and_counted(memory_server):
    def ask(path):
        connection = http.client.HTTPConnection(*memory_server["http"], timeout=30)
        connection.request("GET", f"/v2/models/toy-memory{path}")
        told = json.loads(connection.getresponse().read())
        connection.close()
        return told

    about = ask("")
    assert {one["name"]: one["shape"] for one in about["outputs"]} == {
        "quantiles": [-1, 3], "point": [-1, 1], "allocation": [-1, 1],
    }  # fmt: skip
    assert about["properties"]["unit.allocation"] == "GiB"
    config = ask("/config")
    schema = json.loads(config["parameters"]["jobcast.schema"]["string_value"])
    memory = next(one for one in schema["inputs"] if one["name"] == "requested_memory")
    assert memory["columns"] == {"memreq_mib": 2.0**-10, "memreq_gib": 1.0}
    assert schema["allocation"]["request"] == "requested_memory"
    assert {one["name"] for one in config["input"] if not one["optional"]} == {"build_profile", "time"}
    with grpc.insecure_channel(memory_server["address"]) as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)
        told = stub.ModelConfig(pb.ModelConfigRequest(name="toy-memory")).config
        assert json.loads(told.parameters["jobcast.schema"].string_value) == schema
        before = stub.ModelStatistics(pb.ModelStatisticsRequest(name="toy-memory")).model_stats[0].inference_count
    status, _ = over_rest(memory_server, json.dumps({"inputs": [
        {"name": "build_profile", "datatype": "BYTES", "shape": [1, 1], "data": ["x"]},
        {"name": "time", "datatype": "INT64", "shape": [1, 1], "data": [5]},
    ]}), {})  # fmt: skip
    assert status == 200
    assert ask("/stats")["model_stats"][0]["inference_count"] == before + 1
