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
    row = read_tasks([traces(model_id="llm/meta-llama/toy-7B/A100/vllm/0.10")]).frame.row(0, named=True)
    assert [row[name] for name in TEXTS] == ["llm", "meta-llama/toy-7B", "A100-40GB", "vLLM", "0.10"]
    row = read_tasks([traces(model_id="meta-llama/toy-7B")]).frame.row(0, named=True)
    assert [row[name] for name in TEXTS] == [None, "meta-llama/toy-7B", "L40S", None, None]


def test_facts_of_the_hardware_are_taken_and_other_figures_are_not(traces: Callable[..., Path]) -> None:
    records = read_tasks([traces(hardware_info={"memory_bandwidth_gb_s": 123.0, "cuda_cores": 9})])
    assert records.frame["memory_bandwidth_gb_s"].to_list()[0] == 123.0
    assert records.extra == ("tile_count",)


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ({"input_feature": {"a": "x"}, "duration_ms": 1}, "a must be a finite number, got 'x'"),
        ({"input_feature": {"a": 1}, "duration_ms": True}, "duration_ms must be a finite number, got True"),
        ({"input_feature": 3, "duration_ms": 1}, "input_feature must be an object of numbers or a list"),
        (
            {"input_feature": {"hardware": 1}, "duration_ms": 1},
            "hardware is not a feature, it has a place of its own, got 1.0",
        ),
        ({"input_feature": {"a": 1}}, "duration_ms must be a finite number, got None"),
        (7, "a trace must be an object, got 7"),
    ],
)
def test_a_bad_trace_is_left_out_by_its_reason(trace: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([trace, {"input_feature": {"a": 1}, "duration_ms": 2}]))
    records = read_tasks([path])
    assert records.frame.height == 1
    assert list(records.rejected.values()) == [1]
    (note,) = records.notes
    assert note.startswith("t.json trace 1: ")
    assert message in note
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


def table(folder: Path, *lines: str) -> Path:
    path = folder / "tasks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_cells_of_a_table_are_numbers_or_are_named(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "Software Version,Input Tokens, queue depth,note,spare,duration_ms",
        "0.10,100,1,slow,,812",
        "0.10,,2,fast,,90.5",
        "0.9,many,3,,,70",
        "0.9,n/a,full,,,71.25",
        "0.9,100,4,,,-3",
        "",
        "0.9,100,4,,,",
        "0.9,-100,4,,,50",
        "0.9,100,4,,,1e300",
    )
    records = read_tasks([path])
    assert records.frame["software_version"].to_list() == ["0.10", "0.10"], "0.10 is a version, not the number 0.1"
    assert records.frame["input_tokens"].to_list() == [100.0, None]
    assert records.frame[TARGET].to_list() == [812.0, 90.5]
    assert records.extra == ("queue_depth",)
    assert records.rejected == {
        "empty row": 1,
        "unreadable Input Tokens": 1,
        "unreadable queue depth": 1,
        "no positive time": 2,
        "input_tokens not from 0 to 1e+12": 1,
        "duration_ms not from 0.001 to 1e+10": 1,
    }
    notes = " ".join(records.notes)
    assert "tasks.csv line 4, column Input Tokens: expected a number, got 'many' (1 of 8 rows)" in notes
    assert "line 5, column queue depth: expected a number, got 'full'" in notes
    assert "column note holds no numbers: it is no input" in notes
    assert "column spare holds no numbers: it is no input" in notes


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["duration_ms,input_tokens", "5,1,2"], "tasks.csv line 2: expected 2 cells as in the header, got 3"),
        (["duration_ms,model_name", '5,"x'], "tasks.csv line 2: expected a quote that is closed"),
        (["duration_ms,x,X", "5,1,2"], "columns 'x' and 'X' are both the input x"),
        (["duration_ms,Input Tokens", "5,a", "6,b"], "got 'a' .2 of 2 rows.: most of the file cannot be read"),
        (["duration_ms", "0", "-1"], "no task is left: 2 no positive time"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_its_place(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskSourceError, match=message):
        read_tasks([table(tmp_path, *lines)])


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    for name, content, message in (
        ("none.csv", b"", "none.csv: the file is empty"),
        ("cut.parquet", b"PAR1", "cut.parquet: damaged Parquet file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TaskSourceError, match=message):
            read_tasks([tmp_path / name])
    with pytest.raises(TaskSourceError, match=r"format: must be one of auto, trace, .*, got 'csv'"):
        read_tasks([table(tmp_path, "duration_ms", "5")], format="csv")
