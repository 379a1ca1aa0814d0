"""Task times from published sets and traces: units, what is left out, and errors that name the place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from jobcast_proto.manifest import TaskKey
from jobcast_proto.naming import input_name
from jobcast_training.tasks.hardware import ACCELERATORS, canonical, spellings
from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskSourceError
from jobcast_training.tasks.sources import read_tasks

KEY = TaskKey(type="t2img", name="toy", hardware="NVIDIA H20", software_name="diffuser", software_version="0.1.0")

SWARMPILOT = {
    "task": ["llm", "t2vid"],
    "software_name": ["sglang", "diffuser"],
    "software_version": ["0.5", None],
    "hardware_name": ["NVIDIA H20", "NVIDIA H20"],
    "sentence_chars": [400, None],
    "token_length": [100.0, None],
    "max_tokens": [512.0, None],
    "positive_prompt_length": [None, 600],
    "negative_prompt_length": [None, 500],
    "frames": [None, 30.0],
    "runtime_ms": [3766.0, 17_700.0],
}
SPLITWISE = {
    "model": ["llama2-70b"],
    "hardware": ["h100-80gb-pcap"],
    "tensor_parallel": [8],
    "prompt_size": [512],
    "batch_size": [2],
    "token_size": [128],
    "e2e_time": [4700.0],
}
BENCH = {
    "hardware": ["Nvidia A100 GPU"],
    "num_devices": [4],
    "framework": ["Deepspeed-MII"],
    "model": ["meta-llama/Llama-2-7b-hf"],
    "input_output_tokens": [256],
    "batch_size": [16],
    "latency_s": [2.5],
}
SERVING = {
    "hardware": ["8xMI300X", "8xMI300X", "8xMI300X"],
    "backend": ["vllm"] * 3,
    "model": ["meta-llama/Llama-3.1-405B-FP8"] * 3,
    "request_rate": [16.0] * 3,
    "request_index": [0, 1, 2],
    "input_tokens": [10, 20, 30],
    "output_tokens": [5, 0, 7],
    "e2e_s": [1.25, 0.0, 2.0],
    "failed": [False, False, True],
}
IMAGES = {
    "predict_type": ["IMG_2_IMG", "TXT_2_IMG"],
    "predict_status": ["SUCCEED", "FAILED"],
    "exec_time_seconds": [32.0, 3.0],
    "prompt_length": [63.0, 1.0],
    "negative_prompt_length": [26.0, 1.0],
    "num_images_per_prompt": [8.0, 1.0],
    "num_inference_steps": [30.0, 1.0],
    "checkpoint_model_version_id": ["M1", "M1"],
    "num_lora": [2, 0],
}


@pytest.mark.parametrize(
    ("columns", "expected", "rejected"),
    [
        (
            SWARMPILOT,
            {"hardware": "H20", "software_name": "SGLang", "input_tokens": 100, "prompt_length": 400, TARGET: 3766},
            {},
        ),
        (
            SPLITWISE,
            {"hardware": "H100-80GB-pcap", "num_devices": 8, "input_tokens": 512, "output_tokens": 128, TARGET: 4700},
            {},
        ),
        (
            BENCH,
            {"hardware": "A100-40GB", "software_name": "DeepSpeed-MII", "output_tokens": 256, TARGET: 2500},
            {},
        ),
        (
            SERVING,
            {"hardware": "MI300X", "num_devices": 8, "software_name": "vLLM", "requests_ahead": 0, TARGET: 1250},
            {"failed": 1, "answered nothing": 1},
        ),
        (IMAGES, {"model_type": "img2img", "num_images": 8, "num_lora": 2, TARGET: 32_000}, {"not succeeded": 1}),
    ],
    ids=["swarmpilot", "splitwise", "inference-bench", "vllm-serving", "image-requests"],
)
def test_a_published_set_is_told_by_its_columns_and_read_in_the_tables_units(
    columns: dict[str, list[Any]], expected: dict[str, Any], rejected: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / "set.parquet"
    pl.DataFrame(columns).write_parquet(path)
    records = read_tasks([path])
    assert records.frame.columns == [*TEXTS, *NUMBERS, TARGET]
    first = records.frame.row(0, named=True)
    assert {name: first[name] for name in expected} == expected
    assert {reason: count for reason, count in records.rejected.items() if count} == rejected


def test_several_files_become_one_table_and_a_key_replaces_their_names(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    pl.DataFrame(SPLITWISE).write_parquet(paths[0])
    pl.DataFrame({"duration_ms": [5.0, -1.0], "tiles": [3, 4]}).write_csv(paths[1])
    records = read_tasks(paths, key=KEY)
    assert records.frame["hardware"].to_list() == ["H20", "H20"]
    assert records.frame["software_name"].to_list() == ["diffusers", "diffusers"]
    assert records.extra == ("tiles",)
    assert records.frame["tiles"].to_list() == [None, 3.0]
    assert records.rejected == {"no positive time": 1}


def test_a_table_of_unknown_columns_is_refused_with_the_columns_that_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    pl.DataFrame({"speed": [1]}).write_csv(path)
    with pytest.raises(TaskSourceError, match=r"x\.csv: has the columns speed, needs those of a set .*duration_ms"):
        read_tasks([path])


def test_traces_take_both_forms_and_the_names_they_bring(traces: Callable[..., Path]) -> None:
    records = read_tasks([traces()])
    assert records.frame.height == 24
    assert records.extra == ("tile_count",)
    row = records.frame.row(0, named=True)
    assert (row["hardware"], row["model_name"], row["model_type"]) == ("L40S", "toy-7B", None)


def test_five_parts_of_a_model_id_are_the_five_fields(traces: Callable[..., Path]) -> None:
    row = read_tasks([traces(model_id="llm/toy-7B/A100/vllm/0.1.0")]).frame.row(0, named=True)
    assert [row[name] for name in TEXTS] == ["llm", "toy-7B", "A100-40GB", "vLLM", "0.1.0"]


def test_facts_of_the_hardware_are_taken_and_other_figures_are_not(traces: Callable[..., Path]) -> None:
    records = read_tasks([traces(hardware_info={"memory_bandwidth_gb_s": 123.0, "cuda_cores": 9})])
    assert records.frame["memory_bandwidth_gb_s"].to_list()[0] == 123.0
    assert records.extra == ("tile_count",)


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ({"input_feature": {"a": "x"}, "duration_ms": 1}, "a must be a finite number, got str"),
        ({"input_feature": 3, "duration_ms": 1}, "input_feature must be an object of numbers or a list"),
        ({"input_feature": {"hardware": 1}, "duration_ms": 1}, "hardware is not a feature"),
        ({"input_feature": {"a": 1}}, "duration_ms must be a finite number, got NoneType"),
        (7, "a trace must be an object, got int"),
    ],
)
def test_a_bad_trace_is_left_out_by_its_reason(trace: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([trace, {"input_feature": {"a": 1}, "duration_ms": 2}]))
    records = read_tasks([path])
    assert records.frame.height == 1
    (reason,) = records.rejected
    assert message in reason
    path.write_text(json.dumps([trace]))
    with pytest.raises(TaskSourceError, match="no trace is usable"):
        read_tasks([path])


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "must be a list"), ("{}", "must be a list")]
)
def test_a_file_that_holds_no_traces_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(TaskSourceError, match=f"t.json: {message}"):
        read_tasks([path])


def test_names_of_hardware_are_understood_in_every_spelling() -> None:
    assert canonical("8xH100-SXM5") == ("H100-80GB", 8)
    assert canonical("nvidia h20") == ("H20", None)
    assert canonical("AMD MI300X GPU") == ("MI300X", None)
    assert canonical("Cerebras CS-3") == ("Cerebras CS-3", None)
    assert set(spellings().values()) == set(ACCELERATORS)
    assert all(spellings()[name] == name for name in ACCELERATORS)


def test_names_of_features_become_names_of_inputs() -> None:
    assert [input_name(text) for text in ("Tile Count", "max_tokens", "2d-size", "É")] == [
        "tile_count",
        "max_tokens",
        "x_2d_size",
        "x_",
    ]
