"""`hpc-runtime`: run time in seconds of a batch job, from what is known when it is submitted.

The features are written once, here, as nodes of the graph: training runs them in onnxruntime, serving runs the same
nodes. Operators are wide (one node for many columns) since each node costs time in every prediction. A missing input
is NaN and makes NaN features, never a zero.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jobcast_export.graph import Block, Feature, Operators
from jobcast_proto.manifest import InputSpec
from onnx import TensorProto

from jobcast_training.predictors import Predictor
from jobcast_training.statistics import MISSING, UNKNOWN, CategoryTable

HISTORY_DEPTH, RUNNING_DEPTH = 10, 5
SINCE = ("submission", "similar_submission", "end", "similar_end")
PERCENT = (10, 50, 90)
CATEGORIES = ("partition", "qos", "user", "account", "job_name")

_number = partial(InputSpec, type="float64", shape=[-1, 1])
_text = partial(InputSpec, type="string", shape=[-1, 1], unit="", max_length=256, baseline="")
_times = partial(InputSpec, type="float64", shape=[-1, HISTORY_DEPTH], unit="s", required=False, minimum=0)
INPUTS: tuple[InputSpec, ...] = (
    _number(
        name="processors_req",
        unit="processors",
        required=True,
        minimum=1,
        maximum=2**31 - 1,
        description="Processors requested over all nodes.",
    ),
    _number(
        name="nodes_req",
        unit="nodes",
        required=True,
        minimum=1,
        maximum=2**31 - 1,
        description="Nodes requested.",
    ),
    _number(
        name="mem_req",
        unit="MB",
        required=False,
        minimum=0,
        missing=0,
        description="Memory requested over all nodes; 0 or NaN = not given.",
    ),
    _number(
        name="wallclock_req",
        unit="s",
        required=True,
        exclusive_minimum=0,
        description="Requested wall-clock limit.",
    ),
    _number(
        name="gpus_req",
        unit="GPUs",
        required=False,
        minimum=0,
        maximum=2**31 - 1,
        description="GPUs requested over all nodes; NaN = not known.",
    ),
    InputSpec(
        name="submit_time",
        type="int64",
        shape=[-1, 1],
        unit="s",
        required=True,
        minimum=0,
        maximum=2**40,
        description="Time of submission, Unix seconds.",
    ),
    _text(name="partition", required=True, description="Partition (queue)."),
    _text(name="qos", required=True, description="Quality of service."),
    _text(name="user", required=False, description="Who submits."),
    _text(name="account", required=False, description="Account or project charged."),
    _text(name="job_name", required=False, description="Name of the job or its application."),
    _times(
        name="recent_runtimes",
        description="Run times of the user's latest ended jobs, newest first, padded with NaN.",
    ),
    _times(
        name="similar_runtimes",
        description="The same of those with the same processors and requested limit.",
    ),
    _times(name="named_runtimes", description="The same of those with the same job name."),
    _times(
        name="runtime_quantiles",
        shape=[-1, 3 * len(PERCENT)],
        description="The 0.1, 0.5 and 0.9 quantile of the run times of all the user's ended jobs, then of those with "
        "the same processors and limit, then of those with the same job name; NaN = none.",
    ),
    _times(
        name="running_elapsed",
        shape=[-1, RUNNING_DEPTH],
        description="How long the user's running jobs have run so far, latest submission first, padded with NaN.",
    ),
    _times(
        name="since_last",
        shape=[-1, len(SINCE)],
        description="Time since the user's last submission, since the last with the same processors and limit, since "
        "the user's last job ended, since the last with the same processors and limit ended; NaN = none.",
    ),
)

HISTORIES = {
    "recent_runtimes": ("recent", "the user's latest ended jobs"),
    "similar_runtimes": ("similar", "the user's latest ended jobs with the same processors and limit"),
    "named_runtimes": ("named", "the user's latest ended jobs of the same name"),
}
"""Lists of run times, each with the prefix of its features and what it holds."""

_ALL = {
    "all_ended": "all the user's ended jobs",
    "similar_ended": "all the user's ended jobs with the same processors and limit",
    "named_ended": "all the user's ended jobs of the same name",
}
"""What the places of `runtime_quantiles` are of, three each, by the prefix of their features."""

_DAY, _WEEK, _YEAR = 86_400, 604_800, 31_556_952
_MONDAY = 3 * _DAY  # 1970-01-01 was a Thursday
_NAME_FLAGS = {
    "name_is_interactive": "(?i).*(interactive|jupyter|bash|shell|salloc|vscode).*",
    "name_is_test": "(?i).*(test|debug|bench|check).*",
    "name_is_sweep": "(?i).*(array|sweep|param|scan|grid).*",
    "name_is_learning": "(?i).*(train|learn|torch|tensorflow|model).*",
    "name_is_number": "[0-9]+",
}
EMPTY_TABLES = {column: CategoryTable((), np.full((2, 4), np.nan, dtype=np.float32)) for column in CATEGORIES}
"""Tables of a log without any name, to describe the features without one."""

op = Operators()


def feature_blocks(tables: Mapping[str, CategoryTable], utc_offset_s: int) -> Sequence[Block]:
    """Return the blocks of the feature matrix.

    Args:
        tables: statistics by category, each of `CATEGORIES`.
        utc_offset_s: local standard time minus UTC in seconds, for the hour and day of submission.
    """
    sizes = op.Concat("processors_req", "nodes_req", "mem_req", "wallclock_req", "gpus_req", axis=1)
    return (_requests(sizes), _time(utc_offset_s), _statistics(tables), _job_name(), _history())


def _float(node: Any) -> Any:
    return op.Cast(node, to=TensorProto.FLOAT)


def _columns(node: Any, *indices: int) -> Any:
    return op.Gather(node, np.array(indices, dtype=np.int64), axis=1)


def _requests(sizes: Any) -> Block:
    names = ("processors_req", "nodes_req", "mem_req", "wallclock_req", "gpus_req")
    processors, nodes, memory, limit, gpus = range(5)
    over = len(names)  # column i + over is 1 / column i
    products = {
        "processors_per_node": (processors, over + nodes, "processors_req / nodes_req", "processors/node"),
        "mem_per_node": (memory, over + nodes, "mem_req / nodes_req", "MB/node"),
        "mem_per_processor": (memory, over + processors, "mem_req / processors_req", "MB/processor"),
        "gpus_per_node": (gpus, over + nodes, "gpus_req / nodes_req", "GPUs/node"),
        "gpus_per_processor": (gpus, over + processors, "gpus_req / processors_req", "GPUs/processor"),
        "limit_per_processor": (limit, over + processors, "wallclock_req / processors_req", "s/processor"),
        "limit_per_node": (limit, over + nodes, "wallclock_req / nodes_req", "s/node"),
        "processor_seconds": (processors, limit, "processors_req * wallclock_req", "processor s"),
        "node_seconds": (nodes, limit, "nodes_req * wallclock_req", "node s"),
        "gpu_seconds": (gpus, limit, "gpus_req * wallclock_req", "GPU s"),
        "mem_seconds": (memory, limit, "mem_req * wallclock_req", "MB s"),
    }
    factors = op.Concat(sizes, op.Reciprocal(sizes), axis=1)
    product = op.Mul(
        _columns(factors, *(left for left, *_ in products.values())),
        _columns(factors, *(right for _, right, *_ in products.values())),
    )
    remainders = op.Mod("wallclock_req", np.array([[3600.0, 86400.0]]), fmod=1)
    tested = op.Concat("processors_req", "nodes_req", "gpus_req", remainders, axis=1)
    holds = op.Cast(op.Equal(tested, np.array([[1.0, 1.0, 0.0, 0.0, 0.0]])), to=TensorProto.DOUBLE)
    # x - x is 0 for a number and NaN for a missing one: it carries the gap into the flag.
    flags = op.Add(holds, op.Sub(tested, tested))
    return Block(
        features=(
            *(Feature(spec.name, spec.name, spec.unit) for spec in INPUTS[:5]),
            *(Feature(name, formula, unit) for name, (*_, formula, unit) in products.items()),
            Feature("single_processor", "processors_req = 1", "0/1"),
            Feature("single_node", "nodes_req = 1", "0/1"),
            Feature("no_gpus", "gpus_req = 0", "0/1"),
            Feature("limit_whole_hours", "wallclock_req mod 3600 = 0", "0/1"),
            Feature("limit_whole_days", "wallclock_req mod 86400 = 0", "0/1"),
        ),
        node=_float(op.Concat(sizes, product, flags, axis=1)),
    )


def _time(utc_offset_s: int) -> Block:
    shifts = np.array([[utc_offset_s, utc_offset_s + _MONDAY, utc_offset_s]], dtype=np.int64)
    periods = np.array([[_DAY, _WEEK, _YEAR]], dtype=np.int64)
    second = op.Mod(op.Add("submit_time", shifts), periods)
    # Sines come from a table: computed in place they would differ in the last bit with the row's place in a batch.
    steps = np.array([[60, 3_600, _DAY]], dtype=np.int64)
    counts = (periods // steps + 1)[0]
    angles = np.concatenate(
        [2 * np.pi * np.arange(n) * s / p for n, s, p in zip(counts, steps[0], periods[0], strict=True)]
    )
    table = np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    starts = np.array([[0, *np.cumsum(counts)[:-1]]], dtype=np.int64)
    cyclic = op.Reshape(
        op.Gather(table, op.Add(op.Div(second, steps), starts), axis=0), np.array([0, -1], dtype=np.int64)
    )
    phase = _float(second)
    calendar = op.Mul(phase, np.array([[1 / 3600, 1 / _DAY, 1 / _DAY]], dtype=np.float32))
    flags = _float(op.Less(calendar, np.array([[6.0, 5.0, _YEAR / _DAY / 2]], dtype=np.float32)))
    cycles = {"day": "minute of the local day", "week": "hour of the local week", "year": "day of the mean year"}
    return Block(
        features=(
            *(
                Feature(f"{cycle}_{wave}", f"{wave}(2 pi {what} / its length)", "1")
                for cycle, what in cycles.items()
                for wave in ("sin", "cos")
            ),
            Feature("hour_of_day", "second of the local day / 3600", "h"),
            Feature("day_of_week", "second of the local week / 86400, Monday 0:00 = 0", "d"),
            Feature("day_of_year", "second of the mean year (31,556,952 s) / 86400", "d"),
            Feature("hour", "whole hours of hour_of_day", "h"),
            Feature("weekday", "whole days of day_of_week, Monday = 0", "d"),
            Feature("year_day", "whole days of day_of_year", "d"),
            Feature("is_night", "hour_of_day < 6", "0/1"),
            Feature("is_workday", "day_of_week < 5", "0/1"),
            Feature("is_first_half_year", "day_of_year < half a mean year", "0/1"),
        ),
        node=op.Concat(cyclic, calendar, op.Floor(calendar), flags, axis=1),
    )


def _statistics(tables: Mapping[str, CategoryTable]) -> Block:
    codes, rows, offset = [], [], 0
    for column in CATEGORIES:
        table = tables[column]
        codes.append(
            op.LabelEncoder(
                column,
                keys_strings=["", *table.keys],
                values_int64s=[offset + MISSING, *range(offset + 2, offset + 2 + len(table.keys))],
                default_int64=offset + UNKNOWN,
            )
        )
        rows.append(table.rows)
        offset += len(table.rows)
    gathered = op.Gather(np.concatenate(rows), op.Concat(*codes, axis=1), axis=0)
    node = op.Reshape(gathered, np.array([0, -1], dtype=np.int64))
    features = []
    for column in CATEGORIES:
        of = f"of earlier jobs of the same {column}"
        features += [
            Feature(f"{column}_log_runtime_mean", f"shrunk mean of ln(1 + run time) {of}", "ln s"),
            Feature(f"{column}_log_runtime_std", f"shrunk standard deviation of ln(1 + run time) {of}", "ln s"),
            Feature(f"{column}_limit_share", f"shrunk mean of min(run time / limit, 2) {of}", "1"),
            Feature(f"{column}_log_jobs", f"ln(1 + number) {of}", "ln jobs"),
        ]
    return Block(features=tuple(features), node=node)


def _job_name() -> Block:
    matches = [op.RegexFullMatch("job_name", pattern=pattern) for pattern in _NAME_FLAGS.values()]
    missing = op.Equal("job_name", np.array([[""]]))
    node = op.Where(missing, np.array([[np.nan]], dtype=np.float32), _float(op.Concat(*matches, axis=1)))
    return Block(
        features=tuple(Feature(name, f"job_name matches `{pattern}`", "0/1") for name, pattern in _NAME_FLAGS.items()),
        node=node,
    )


def _history() -> Block:
    """The three lists of run times lie behind each other and go through every node together.

    Sums run over the known run times only; ranks count from the shortest.
    """
    ranks = (1, 3, 5, 8)
    lists = len(HISTORIES)
    shape = np.array([0, lists, HISTORY_DEPTH], dtype=np.int64)
    times = op.Reshape(op.Concat(*HISTORIES, axis=1), shape)
    missing = op.IsNaN(times)
    filled = op.Where(missing, np.array([0.0]), times)
    known = op.Cast(op.Not(missing), to=TensorProto.DOUBLE)
    limit = op.Unsqueeze("wallclock_req", np.array([2], dtype=np.int64))
    over = op.Cast(op.GreaterOrEqual(filled, limit), to=TensorProto.DOUBLE)
    last = np.array([2], dtype=np.int64)
    number = op.ReduceSum(known, last, keepdims=0)
    mean = op.Div(op.ReduceSum(filled, last, keepdims=0), number)
    outlived = op.Div(op.ReduceSum(over, last, keepdims=0), number)
    ascending = op.TopK(
        op.Where(missing, np.array([np.inf]), times), np.array([HISTORY_DEPTH], dtype=np.int64), largest=0, axis=2
    )[0]
    ranked = op.Gather(ascending, np.array([rank - 1 for rank in ranks], dtype=np.int64), axis=2)
    ordered = op.Where(op.IsInf(ranked), np.array([np.nan]), ranked)
    latest = op.Gather(times, np.array([0, 1], dtype=np.int64), axis=2)
    last_two = op.ReduceMean(latest, last)
    chosen = op.Concat(latest, last_two, ordered, axis=2)
    flat = np.array([0, -1], dtype=np.int64)
    shares = op.Reshape(op.Div(chosen, limit), flat)
    whole = ("runtime_quantiles", "running_elapsed")
    parts = [part for name in whole for part in (name, op.Div(name, "wallclock_req"))]
    features: list[Feature] = []
    names = {
        "last": "run time of the latest",
        "previous": "run time of the one before it",
        "last_two_mean": "mean of the latest two run times",
        **{f"rank_{rank}": f"run time of rank {rank} among the recent ones, shortest first" for rank in ranks},
    }
    every = [(prefix, f"of {what}", name, text) for prefix, what in HISTORIES.values() for name, text in names.items()]
    features += [Feature(f"{prefix}_{name}", f"{text} {what}", "s") for prefix, what, name, text in every]
    features += [
        Feature(f"{prefix}_{name}_share", f"{prefix}_{name} / wallclock_req", "1") for prefix, _, name, _ in every
    ]
    features += [Feature(f"{prefix}_mean", f"mean run time of {what}", "s") for prefix, what in HISTORIES.values()]
    features += [
        Feature(f"{prefix}_over_limit", f"share of {what} with a run time >= wallclock_req", "1")
        for prefix, what in HISTORIES.values()
    ]
    features += [
        Feature(f"{prefix}_count", f"number of {what}, 0 to {HISTORY_DEPTH}", "jobs")
        for prefix, what in HISTORIES.values()
    ]
    quantiles = [(f"{prefix}_quantile_{n}", n, what) for prefix, what in _ALL.items() for n in PERCENT]
    features += [Feature(name, f"{n / 100} quantile of the run times of {what}", "s") for name, n, what in quantiles]
    features += [Feature(f"{name}_share", f"{name} / wallclock_req", "1") for name, *_ in quantiles]
    positions = range(1, RUNNING_DEPTH + 1)
    features += [Feature(f"running_{n}", f"running_elapsed of place {n}", "s") for n in positions]
    features += [Feature(f"running_{n}_share", f"running_{n} / wallclock_req", "1") for n in positions]
    features += [
        Feature(f"since_{what}", f"since_last of place {place}", "s") for place, what in enumerate(SINCE, start=1)
    ]
    node = op.Concat(op.Reshape(chosen, flat), shares, mean, outlived, number, *parts, "since_last", axis=1)
    return Block(features=tuple(features), node=_float(node))


PREDICTOR = Predictor(
    name="hpc-runtime",
    inputs=INPUTS,
    target="run_time",
    target_unit="s",
    limit="wallclock_req",
    categories=CATEGORIES,
    extra=("similar_runtimes", "named_runtimes", "runtime_quantiles", "running_elapsed", "since_last"),
    feature_blocks=feature_blocks,
)
