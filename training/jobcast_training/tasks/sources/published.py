"""Readers of the published sets of task times, told apart by their columns; units become those of the record table."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
from jobcast_proto.manifest import TaskKey
from jobcast_proto.naming import input_name

from jobcast_training.tasks import hardware, software
from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskRecords, TaskSourceError, task_records
from jobcast_training.tasks.sources.tabular import read_table, texts_left

Reader = Callable[[pl.DataFrame, "Counter[str]"], pl.DataFrame]
TABLE = "table"
_S = 1000.0  # ms in a second
_IMAGE_TASKS = {"TXT_2_IMG": "t2img", "IMG_2_IMG": "img2img", "INPAINTING": "inpainting"}


def read_published(path: Path, format: str | None, key: TaskKey | None) -> TaskRecords:
    """Read a published set, or a table whose columns are those of the record table.

    Args:
        path: Parquet or CSV file.
        format: name of the set; None finds it by the columns.
        key: replaces the five identity fields.

    Raises:
        TaskSourceError: the file cannot be read, its columns are those of no known set, or no row is usable.
    """
    read = read_table(path)
    frame = read.frame
    name = format or next((name for name, (columns, _) in SETS.items() if columns <= set(frame.columns)), None)
    if name is None or not SETS[name][0] <= set(frame.columns):
        wanted = "; ".join(f"{known}: {', '.join(sorted(columns))}" for known, (columns, _) in SETS.items())
        raise TaskSourceError(
            f"{path.name}: has the columns {', '.join(frame.columns)}, needs those of a set ({wanted})"
        )
    rejected, notes = read.rejected, list(read.notes)
    try:
        table = SETS[name][1](_named(frame, path.name, notes) if name == TABLE else frame, rejected)
    except pl.exceptions.PolarsError as cause:
        raise TaskSourceError(f"{path.name}: cannot be read as {name}: {str(cause).splitlines()[0]}") from cause
    if key is not None:
        table = table.with_columns(
            model_type=pl.lit(key.type),
            model_name=pl.lit(key.name),
            hardware=pl.lit(hardware.canonical(key.hardware)[0]),
            software_name=pl.lit(software.canonical(key.software_name)),
            software_version=pl.lit(key.software_version),
        )
    extra = [column for column in table.columns if column not in (*TEXTS, *NUMBERS, TARGET)]
    return task_records(table, path.stem if name == TABLE else name, extra, rejected, notes)


def _named(frame: pl.DataFrame, source: str, notes: list[str]) -> pl.DataFrame:
    """The columns by the names of inputs; one of no numbers that is no text of the key goes, and is noted."""
    names: dict[str, str] = {}
    for column in frame.columns:
        name = column if column in (*TEXTS, *NUMBERS, TARGET) else input_name(column)
        if name in names.values():
            other = next(one for one, own in names.items() if own == name)
            raise TaskSourceError(f"{source}: columns {other!r} and {column!r} are both the input {name}; rename one")
        names[column] = name
    named = frame.rename(names)
    left = texts_left(named, TEXTS)
    notes += [f"{source}: column {name} holds no numbers: it is no input" for name in left]
    return named.drop(left)


def _swarmpilot(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    return frame.select(
        model_type="task",
        hardware=_device("hardware_name"),
        software_name=_software("software_name"),
        software_version="software_version",
        input_tokens="token_length",
        prompt_length=pl.coalesce("positive_prompt_length", "sentence_chars"),
        max_tokens="max_tokens",
        frames="frames",
        negative_prompt_length="negative_prompt_length",
        duration_ms="runtime_ms",
    )


def _splitwise(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    return frame.select(
        model_type=pl.lit("llm"),
        model_name="model",
        hardware=_device("hardware"),
        input_tokens="prompt_size",
        output_tokens="token_size",
        batch_size="batch_size",
        num_devices="tensor_parallel",
        duration_ms="e2e_time",
    )


def _inference_bench(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    return frame.select(
        model_type=pl.lit("llm"),
        model_name="model",
        hardware=_device("hardware"),
        software_name=_software("framework"),
        input_tokens="input_output_tokens",
        output_tokens="input_output_tokens",
        batch_size="batch_size",
        num_devices="num_devices",
        duration_ms=pl.col("latency_s") * _S,
    )


def _vllm_serving(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    failed = frame["failed"]
    rejected["failed"] += int(failed.sum())
    empty = ~failed & (frame["e2e_s"] <= 0)
    rejected["answered nothing"] += int(empty.sum())
    devices = {text: hardware.canonical(text)[1] for text in frame["hardware"].unique()}
    return frame.filter(~failed & ~empty).select(
        model_type=pl.lit("llm"),
        model_name="model",
        hardware=_device("hardware"),
        software_name=_software("backend"),
        input_tokens="input_tokens",
        output_tokens="output_tokens",
        num_devices=pl.col("hardware").replace_strict(devices),
        request_rate="request_rate",
        requests_ahead="request_index",
        duration_ms=pl.col("e2e_s") * _S,
    )


def _image_requests(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    done = frame["predict_status"] == "SUCCEED"
    rejected["not succeeded"] += int((~done).sum())
    return frame.filter(done).select(
        model_type=pl.col("predict_type").replace(_IMAGE_TASKS),
        model_name="checkpoint_model_version_id",
        num_images="num_images_per_prompt",
        num_inference_steps="num_inference_steps",
        num_lora="num_lora",
        prompt_length="prompt_length",
        negative_prompt_length="negative_prompt_length",
        duration_ms=pl.col("exec_time_seconds") * _S,
    )


def _table(frame: pl.DataFrame, rejected: "Counter[str]") -> pl.DataFrame:
    renamed = {"hardware": _device("hardware"), "software_name": _software("software_name")}
    return frame.select(renamed[name].alias(name) if name in renamed else pl.col(name) for name in frame.columns)


def _device(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).map_elements(lambda text: hardware.canonical(text)[0], return_dtype=pl.String)


def _software(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).map_elements(software.canonical, return_dtype=pl.String)


SETS: Mapping[str, tuple[frozenset[str], Reader]] = {
    "llm-swarmpilot-h20": (frozenset({"task", "hardware_name", "token_length", "frames", "runtime_ms"}), _swarmpilot),
    "llm-splitwise-perf": (frozenset({"prompt_size", "token_size", "tensor_parallel", "e2e_time"}), _splitwise),
    "llm-inference-bench": (frozenset({"framework", "input_output_tokens", "latency_s"}), _inference_bench),
    "llm-vllm-serving-405b": (frozenset({"backend", "request_index", "e2e_s", "failed"}), _vllm_serving),
    "genai-image-requests": (frozenset({"predict_type", "predict_status", "exec_time_seconds"}), _image_requests),
    TABLE: (frozenset({TARGET}), _table),
}
"""Sets by name: the columns that tell a set, and its reader."""
