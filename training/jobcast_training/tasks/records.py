"""The task record table: one row is one task or one batch of tasks served together.

Every source of task times ends here. A value that the source does not give is null, never a stand-in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

TEXTS: dict[str, str] = {
    "model_type": "Kind of task or family of models, such as llm or t2vid.",
    "model_name": "Model, such as Llama-3-70B; sizes (8B, 8x7B) and precisions (FP8, AWQ) in it are read.",
    "hardware": "One accelerator, such as NVIDIA H20.",
    "software_name": "Serving software, such as vLLM.",
    "software_version": "Its version.",
}
"""The five fields that identify a model key."""

NUMBERS: dict[str, tuple[str, str]] = {
    "input_tokens": ("tokens", "Prompt length of one sequence."),
    "output_tokens": ("tokens", "Tokens generated for one sequence, where they are known beforehand."),
    "max_tokens": ("tokens", "Most tokens that may be generated for one sequence."),
    "batch_size": ("sequences", "Sequences served together; the time is that of the whole batch."),
    "num_devices": ("devices", "Accelerators that one copy of the model is spread over (tensor parallelism)."),
    "request_rate": ("requests/s", "Requests that arrive at the server."),
    "requests_ahead": ("requests", "Requests sent before this one in the same burst."),
    "pixel_num": ("pixels", "Pixels of one image or frame."),
    "duration": ("s", "Length of the video or sound."),
    "frames": ("frames", "Frames of the video."),
    "num_images": ("images", "Images of one request."),
    "num_inference_steps": ("steps", "Denoising steps."),
    "num_lora": ("adapters", "Low-rank adapters in use."),
    "prompt_length": ("characters", "Length of the prompt in characters."),
    "negative_prompt_length": ("characters", "Its negative prompt."),
    "parameters_b": ("1e9 parameters", "Model size; by default what the model's name tells."),
    "memory_bandwidth_gb_s": ("GB/s", "Memory bandwidth of one accelerator; by default that of a known name."),
    "fp16_tflops": ("TFLOP/s", "Dense FP16 or BF16 peak of one accelerator; by default that of a known name."),
    "memory_gb": ("GB", "Memory of one accelerator; by default that of a known name."),
}
"""Numeric inputs with unit and meaning."""

FACTS = ("parameters_b", "memory_bandwidth_gb_s", "fp16_tflops", "memory_gb")
"""Numbers that a table or the model's name can stand in for."""

TARGET = "duration_ms"
"""Outcome: wall-clock time of the task in ms."""


@dataclass(frozen=True)
class TaskRecords:
    """Tasks whose times are known, and what was left out.

    Attributes:
        frame: columns of `TEXTS`, `NUMBERS`, `extra` and `TARGET`; texts are String, all else Float64.
        source: names of the data sets, without any folder.
        extra: names of numeric columns beyond `NUMBERS`.
        rejected: number of rows left out, by reason.
    """

    frame: pl.DataFrame
    source: str
    extra: tuple[str, ...] = ()
    rejected: Counter[str] = field(default_factory=Counter)


class TaskSourceError(ValueError):
    """A file of task times is not what it should be; the message names file, place, rule and value."""


def task_records(
    frame: pl.DataFrame, source: str, extra: Sequence[str] = (), rejected: Counter[str] | None = None
) -> TaskRecords:
    """Return records with every column of the table, rows without a positive time left out.

    Args:
        frame: any of the columns; those that are missing become null.
        source: name of the data set.
        extra: names of further numeric columns.
        rejected: what was left out already.

    Raises:
        TaskSourceError: no row has a positive time.
    """
    rejected = Counter(rejected or {})
    kinds: dict[str, pl.DataType] = {name: pl.String() for name in TEXTS}
    kinds |= {name: pl.Float64() for name in (*NUMBERS, *extra, TARGET)}
    present = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in kinds.items()
    ]
    table = frame.select(present).with_columns(pl.col(pl.Float64).replace(float("nan"), None))
    usable = table.filter(pl.col(TARGET).is_finite() & (pl.col(TARGET) > 0))
    if usable.height < table.height:
        rejected["no positive time"] += table.height - usable.height
    if usable.is_empty():
        raise TaskSourceError(f"{source}: none of the {table.height} rows has a {TARGET} above 0")
    return TaskRecords(usable, source, tuple(extra), rejected)


def joined(parts: Sequence[TaskRecords]) -> TaskRecords:
    """Return the records of several sources as one table, in order."""
    extra = tuple(dict.fromkeys(name for part in parts for name in part.extra))
    frame = pl.concat([part.frame for part in parts], how="diagonal")
    order = [*TEXTS, *NUMBERS, *extra, TARGET]
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected += part.rejected
    source = ", ".join(dict.fromkeys(part.source for part in parts))
    return TaskRecords(frame.select(order), source, extra, rejected)
