"""The wire contract is what clients already speak, and everything generated from it is current."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import rt_predictor_pb2 as pb
from google.protobuf import descriptor_pb2
from jobcast_proto.schema import manifest_schema

PROTO = Path(__file__).parents[2] / "proto"

MESSAGES = {
    "JobFeatures": """
        processors_req 1 int32; nodes_req 2 int32; mem_req 3 double; wallclock_req 4 double; partition 5 string;
        qos 6 string; submit_time 7 int64; user 8 string; account 9 string; job_name 10 string;
        gpus_req 11 optional int32; recent_runtimes 12 repeated double
    """,
    "PredictRequest": "features 1 JobFeatures; request_id 2 string; metadata 3 map<string,string>",
    "PredictResponse": """
        predicted_runtime_seconds 1 double; confidence_lower 2 float; confidence_upper 3 float; model_version 4 string;
        prediction_timestamp 5 int64; request_id 6 string; runtime_category 7 string; prediction_confidence 8 double;
        feature_importance 9 map<string,double>; error 10 string; quantile_levels 11 repeated double;
        quantile_seconds 12 repeated double; suggested_wallclock_seconds 13 double
    """,
    "PredictBatchRequest": "jobs 1 repeated JobFeatures; batch_id 2 string; max_parallel 3 int32",
    "PredictBatchResponse": """
        predictions 1 repeated PredictResponse; batch_id 2 string; total_predictions 3 int32;
        failed_predictions 4 int32; errors 5 repeated string; processing_time_ms 6 int64
    """,
    "GetModelInfoRequest": "",
    "GetModelInfoResponse": """
        model_type 1 string; model_version 2 string; training_date 3 string; training_samples 4 int64;
        validation_mae 5 double; validation_mape 6 double; test_mae 7 double; test_mape 8 double;
        feature_names 9 repeated string; num_features 10 int32; is_loaded 11 bool; predictions_served 12 int64;
        average_latency_ms 13 double; uptime_seconds 14 int64; ensemble_weights 15 map<string,double>
    """,
    "HealthCheckRequest": "",
    "HealthCheckResponse": """
        status 1 HealthCheckResponse.ServingStatus; message 2 string; uptime_seconds 3 int64; memory_usage_mb 4 double;
        cpu_usage_percent 5 double; model_status 6 map<string,string>
    """,
}
METHODS = {
    "Predict": ("PredictRequest", "PredictResponse", False),
    "PredictBatch": ("PredictBatchRequest", "PredictBatchResponse", False),
    "PredictStream": ("PredictRequest", "PredictResponse", True),
    "GetModelInfo": ("GetModelInfoRequest", "GetModelInfoResponse", False),
    "HealthCheck": ("HealthCheckRequest", "HealthCheckResponse", False),
}
STUBS = ("rt_predictor_pb2.py", "rt_predictor_pb2.pyi", "rt_predictor_pb2_grpc.py")
_FIELD = descriptor_pb2.FieldDescriptorProto


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stubs and the descriptor that the .proto gives now."""
    out = tmp_path_factory.mktemp("stubs")
    targets = [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *targets]
    subprocess.run([*command, f"--descriptor_set_out={out / 'set'}", "rt_predictor.proto"], check=True)
    return out


@pytest.fixture(scope="module")
def contract(generated: Path) -> descriptor_pb2.FileDescriptorProto:
    found = descriptor_pb2.FileDescriptorSet.FromString((generated / "set").read_bytes())
    return found.file[0]


def _kind(field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto) -> str:
    plain: str = _FIELD.Type.Name(field.type).removeprefix("TYPE_").lower()
    if plain not in ("message", "enum"):
        name = plain
    else:
        name = field.type_name.removeprefix(".rtpredictor.v1.")
        for entry in message.nested_type:
            if entry.options.map_entry and name == f"{message.name}.{entry.name}":
                key, value = (_kind(part, entry) for part in entry.field)
                return f"map<{key},{value}>"
    if field.label == _FIELD.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def test_every_message_has_the_fields_of_the_contract(contract: descriptor_pb2.FileDescriptorProto) -> None:
    found = {
        message.name: [f"{field.name} {field.number} {_kind(field, message)}" for field in message.field]
        for message in contract.message_type
    }
    expected = {
        name: [" ".join(row.split()) for row in table.split(";") if row.strip()] for name, table in MESSAGES.items()
    }
    assert found == expected


def test_the_service_has_the_methods_of_the_contract(contract: descriptor_pb2.FileDescriptorProto) -> None:
    assert contract.package == "rtpredictor.v1"
    (service,) = contract.service
    assert service.name == "JobRuntimePredictor"
    found = {
        method.name: (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
        for method in service.method
    }
    prefix = ".rtpredictor.v1."
    assert found == {
        name: (prefix + asked, prefix + answered, streams, streams)
        for name, (asked, answered, streams) in METHODS.items()
    }


def test_serving_states_are_nested_and_numbered(contract: descriptor_pb2.FileDescriptorProto) -> None:
    (answer,) = (message for message in contract.message_type if message.name == "HealthCheckResponse")
    (states,) = answer.enum_type
    assert states.name == "ServingStatus"
    assert {value.name: value.number for value in states.value} == {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2}


@pytest.mark.parametrize("name", STUBS)
def test_checked_in_stubs_are_what_the_proto_gives(generated: Path, name: str) -> None:
    assert (PROTO / name).read_bytes() == (generated / name).read_bytes(), f"{name} is old: run `make proto`"


def test_an_absent_number_of_gpus_differs_from_none() -> None:
    assert not pb.JobFeatures.FromString(pb.JobFeatures().SerializeToString()).HasField("gpus_req")
    assert pb.JobFeatures.FromString(pb.JobFeatures(gpus_req=0).SerializeToString()).HasField("gpus_req")


def test_the_page_names_every_field_of_the_manifest() -> None:
    page = (PROTO.parent / "docs" / "bundle.md").read_text(encoding="utf-8").partition("## The manifest\n")[2]
    schema = json.loads(manifest_schema())
    parts = [schema, *schema["$defs"].values()]
    assert [name for part in parts for name in part["properties"] if f"`{name}`" not in page] == []


def test_the_manifest_schema_is_current() -> None:
    stored = (PROTO / "jobcast_proto" / "manifest.schema.json").read_text(encoding="utf-8")
    assert stored == manifest_schema() + "\n", "manifest.schema.json is old: run `make proto`"
