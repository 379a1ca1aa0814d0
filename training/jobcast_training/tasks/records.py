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

LEAST_MS, MOST_MS = 1e-3, 1e10
"""Times that a task may have taken: from a microsecond to 116 days."""

LARGEST = 1e12
"""Largest number that an input may hold."""


def key_parts(text: str) -> list[str] | None:
    """Return the five parts of `type/name/hardware/software/version`, None where there are fewer.

    A model's name may hold slashes: with more than five parts the name has the further ones.
    """
    parts = text.split("/")
    further = len(parts) - len(TEXTS)
    return None if further < 0 else [parts[0], "/".join(parts[1 : 2 + further]), *parts[2 + further :]]


@dataclass(frozen=True)
class TaskRecords:
    """Tasks whose times are known, and what was left out.

    Attributes:
        frame: columns of `TEXTS`, `NUMBERS`, `extra` and `TARGET`; texts are String, all else Float64.
        source: names of the data sets, without any folder.
        extra: names of numeric columns beyond `NUMBERS`.
        rejected: number of rows left out, by reason.
        notes: sentences on what was found in the files, with the first place where it is.
    """

    frame: pl.DataFrame
    source: str
    extra: tuple[str, ...] = ()
    rejected: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


class TaskSourceError(ValueError):
    """A file of task times is not what it should be; the message names file, place, rule and value."""


def task_records(
    frame: pl.DataFrame,
    source: str,
    extra: Sequence[str] = (),
    rejected: Counter[str] | None = None,
    notes: Sequence[str] = (),
) -> TaskRecords:
    """Return records with every column of the table; rows whose time or numbers no task has are left out.

    Args:
        frame: any of the columns; those that are missing become null.
        source: name of the data set.
        extra: names of further numeric columns.
        rejected: what was left out already.
        notes: on what was found in the file.

    Raises:
        TaskSourceError: no row is left.
    """
    rejected = Counter(rejected or {})
    kinds: dict[str, pl.DataType] = {name: pl.String() for name in TEXTS}
    kinds |= {name: pl.Float64() for name in (*NUMBERS, *extra, TARGET)}
    present = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in kinds.items()
    ]
    table = frame.select(present).with_columns(pl.col(pl.Float64).replace(float("nan"), None))
    time = pl.col(TARGET)
    rules = {
        "no positive time": ~(time > 0).fill_null(False),
        f"{TARGET} not from {LEAST_MS:g} to {MOST_MS:g}": ~time.is_between(LEAST_MS, MOST_MS),
        **{f"{name} not from 0 to {LARGEST:g}": ~pl.col(name).is_between(0, LARGEST) for name in NUMBERS},
        **{f"{name} not from {-LARGEST:g} to {LARGEST:g}": pl.col(name).abs() > LARGEST for name in extra},
    }
    reason = pl.coalesce(pl.when(broken).then(pl.lit(reason)) for reason, broken in rules.items()).alias("reason")
    reasons = table.select(reason)["reason"]
    for (said,), rows in reasons.drop_nulls().to_frame().group_by("reason", maintain_order=True):
        rejected[str(said)] += rows.height
    usable = table.filter(reasons.is_null())
    if usable.is_empty():
        why = ", ".join(f"{rows:,} {said}" for said, rows in rejected.items() if rows)
        raise TaskSourceError(f"{source}: no task is left: {why or 'there is no row'}")
    return TaskRecords(usable, source, tuple(extra), rejected, tuple(notes))


def joined(parts: Sequence[TaskRecords]) -> TaskRecords:
    """Return the records of several sources as one table, in order."""
    extra = tuple(dict.fromkeys(name for part in parts for name in part.extra))
    frame = pl.concat([part.frame for part in parts], how="diagonal")
    order = [*TEXTS, *NUMBERS, *extra, TARGET]
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected += part.rejected
    source = ", ".join(dict.fromkeys(part.source for part in parts))
    notes = tuple(note for part in parts for note in part.notes)
    return TaskRecords(frame.select(order), source, extra, rejected, notes)
