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

HISTORY_DEPTH = 10
CATEGORIES = ("partition", "qos", "user", "account", "job_name")

_number = partial(InputSpec, type="float64", shape=[-1, 1])
_text = partial(InputSpec, type="string", shape=[-1, 1], unit="", max_length=256, baseline="")
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
    InputSpec(
        name="recent_runtimes",
        type="float64",
        shape=[-1, HISTORY_DEPTH],
        unit="s",
        required=False,
        minimum=0,
        description="Run times of the user's latest ended jobs, newest first, padded with NaN.",
    ),
)

_DAY, _WEEK, _YEAR = 86_400, 604_800, 31_556_952
_MONDAY = 3 * _DAY  # 1970-01-01 was a Thursday
_NAME_FLAGS = {
    "name_is_interactive": "(?i).*(interactive|jupyter|bash|shell|salloc|vscode).*",
    "name_is_test": "(?i).*(test|debug|bench|check).*",
    "name_is_sweep": "(?i).*(array|sweep|param|scan|grid).*",
    "name_is_learning": "(?i).*(train|learn|torch|tensorflow|model).*",
    "name_is_number": "[0-9]+",
}
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
    processors, nodes, memory, limit, gpus = range(5)
    ratios = {
        "processors_per_node": (processors, nodes, "processors_req / nodes_req", "processors/node"),
        "mem_per_node": (memory, nodes, "mem_req / nodes_req", "MB/node"),
        "mem_per_processor": (memory, processors, "mem_req / processors_req", "MB/processor"),
        "gpus_per_node": (gpus, nodes, "gpus_req / nodes_req", "GPUs/node"),
        "gpus_per_processor": (gpus, processors, "gpus_req / processors_req", "GPUs/processor"),
        "limit_per_processor": (limit, processors, "wallclock_req / processors_req", "s/processor"),
        "limit_per_node": (limit, nodes, "wallclock_req / nodes_req", "s/node"),
    }
    products = {
        "processor_seconds": (processors, limit, "processors_req * wallclock_req", "processor s"),
        "node_seconds": (nodes, limit, "nodes_req * wallclock_req", "node s"),
        "gpu_seconds": (gpus, limit, "gpus_req * wallclock_req", "GPU s"),
        "mem_seconds": (memory, limit, "mem_req * wallclock_req", "MB s"),
    }
    powers = 2.0 ** np.arange(20)
    # x - x is 0 for a number and NaN for a missing one: it carries the gap into the flags.
    flagged = _columns(sizes, processors, processors, nodes, gpus, limit, limit)
    tests = op.Concat(
        op.ReduceMax(
            op.Cast(op.Equal("processors_req", powers.reshape(1, -1)), to=TensorProto.DOUBLE),
            np.array([1], dtype=np.int64),
        ),
        op.Cast(op.Equal(_columns(sizes, processors, nodes), np.array([[1.0, 1.0]])), to=TensorProto.DOUBLE),
        op.Cast(op.Greater("gpus_req", np.array([[0.0]])), to=TensorProto.DOUBLE),
        op.Cast(
            op.Equal(op.Mod("wallclock_req", np.array([[3600.0, 86400.0]]), fmod=1), np.array([[0.0]])),
            to=TensorProto.DOUBLE,
        ),
        axis=1,
    )
    flags = op.Add(tests, op.Sub(flagged, flagged))
    node = _float(
        op.Concat(
            sizes,
            op.Div(
                _columns(sizes, *(n for n, *_ in ratios.values())),
                _columns(sizes, *(d for _, d, *_ in ratios.values())),
            ),
            op.Mul(
                _columns(sizes, *(a for a, *_ in products.values())),
                _columns(sizes, *(b for _, b, *_ in products.values())),
            ),
            flags,
            axis=1,
        )
    )
    return Block(
        features=(
            *(Feature(spec.name, spec.name, spec.unit) for spec in INPUTS[:5]),
            *(Feature(name, formula, unit) for name, (*_, formula, unit) in (ratios | products).items()),
            Feature("processors_power_of_two", "processors_req in {1, 2, 4, ..., 2^19}", "0/1"),
            Feature("single_processor", "processors_req = 1", "0/1"),
            Feature("single_node", "nodes_req = 1", "0/1"),
            Feature("has_gpus", "gpus_req > 0", "0/1"),
            Feature("limit_whole_hours", "wallclock_req mod 3600 = 0", "0/1"),
            Feature("limit_whole_days", "wallclock_req mod 86400 = 0", "0/1"),
        ),
        node=node,
    )


def _time(utc_offset_s: int) -> Block:
    shifts = np.array([[utc_offset_s, utc_offset_s + _MONDAY, utc_offset_s]], dtype=np.int64)
    periods = np.array([[_DAY, _WEEK, _YEAR]], dtype=np.int64)
    phase = _float(op.Mod(op.Add("submit_time", shifts), periods))
    angle = op.Mul(phase, (2 * np.pi / periods).astype(np.float32))
    calendar = op.Mul(phase, np.array([[1 / 3600, 1 / _DAY, 1 / _DAY]], dtype=np.float32))
    hour, weekday = _columns(calendar, 0), op.Floor(_columns(calendar, 1))
    weekend = op.GreaterOrEqual(weekday, np.array([[5]], dtype=np.float32))
    working = op.And(
        op.And(
            op.GreaterOrEqual(hour, np.array([[9]], dtype=np.float32)),
            op.Less(hour, np.array([[18]], dtype=np.float32)),
        ),
        op.Not(weekend),
    )
    night = op.Less(hour, np.array([[6]], dtype=np.float32))
    flags = _float(op.Concat(weekend, working, night, axis=1))
    node = op.Concat(op.Sin(angle), op.Cos(angle), calendar, weekday, flags, axis=1)
    cycles = {"day": "second of the local day", "week": "second of the local week", "year": "second of the year"}
    return Block(
        features=(
            *(Feature(f"{cycle}_sin", f"sin(2 pi {what} / its length)", "1") for cycle, what in cycles.items()),
            *(Feature(f"{cycle}_cos", f"cos(2 pi {what} / its length)", "1") for cycle, what in cycles.items()),
            Feature("hour_of_day", "second of the local day / 3600", "h"),
            Feature("day_of_week", "second of the local week / 86400, Monday 0:00 = 0", "d"),
            Feature("day_of_year", "second of the mean year (31,556,952 s) / 86400", "d"),
            Feature("weekday", "whole days of the local week, Monday = 0", "d"),
            Feature("is_weekend", "weekday >= 5", "0/1"),
            Feature("is_working_hours", "9 <= hour_of_day < 18 and not is_weekend", "0/1"),
            Feature("is_night", "hour_of_day < 6", "0/1"),
        ),
        node=node,
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
    given = op.Not(op.Equal("job_name", np.array([[""]])))
    flags = [_float(op.RegexFullMatch("job_name", pattern=pattern)) for pattern in _NAME_FLAGS.values()]
    masked = op.Where(given, op.Concat(*flags, axis=1), np.array([[np.nan]], dtype=np.float32))
    return Block(
        features=tuple(Feature(name, f"job_name matches `{pattern}`", "0/1") for name, pattern in _NAME_FLAGS.items()),
        node=masked,
    )


def _history() -> Block:
    last_axis = np.array([1], dtype=np.int64)
    nan, inf, zero = np.array([[np.nan]]), np.array([[np.inf]]), np.array([[0.0]])
    missing = op.IsNaN("recent_runtimes")
    known = op.Not(missing)
    filled = op.Where(missing, zero, "recent_runtimes")
    weight = op.Cast(known, to=TensorProto.DOUBLE)
    number = op.ReduceSum(weight, last_axis)
    none = op.Equal(number, zero)
    log = op.Log(op.Add(filled, np.array([[1.0]])))
    mean = op.Div(op.ReduceSum(log, last_axis), number)
    square = op.Div(op.ReduceSum(op.Mul(log, log), last_axis), number)
    spread = op.Sqrt(op.Max(op.Sub(square, op.Mul(mean, mean)), zero))
    ascending = op.TopK(
        op.Where(missing, inf, "recent_runtimes"), np.array([HISTORY_DEPTH], dtype=np.int64), largest=0, axis=1
    )[0]
    middle = op.Cast(
        op.Floor(op.Mul(op.Max(op.Sub(number, np.array([[1.0]])), zero), np.array([[0.5]]))), to=TensorProto.INT64
    )
    order = op.Where(none, nan, op.Concat(_columns(ascending, 0), op.GatherElements(ascending, middle, axis=1), axis=1))
    largest = op.Where(none, nan, op.ReduceMax(filled, last_axis))
    first_two = _columns("recent_runtimes", 0, 1)
    two = _columns(weight, 0, 1)
    last_two = op.Div(
        op.ReduceSum(_columns(filled, 0, 1), last_axis), op.ReduceSum(two, last_axis)
    )
    over = op.Cast(op.GreaterOrEqual(filled, "wallclock_req"), to=TensorProto.DOUBLE)
    share_over = op.Div(op.ReduceSum(over, last_axis), number)
    shares = op.Div(op.Concat(_columns(first_two, 0), _columns(order, 1), axis=1), "wallclock_req")
    trend = op.Sub(_columns(log, 0), mean)
    node = _float(
        op.Concat(
            first_two, last_two, order, largest, mean, spread, number, shares, share_over, trend, axis=1
        )
    )
    return Block(
        features=(
            Feature("last_runtime", "run time of the user's latest ended job", "s"),
            Feature("previous_runtime", "run time of the one before it", "s"),
            Feature("last_two_mean", "mean of the latest two known run times", "s"),
            Feature("recent_min", "smallest recent run time", "s"),
            Feature("recent_median", "lower median of the recent run times", "s"),
            Feature("recent_max", "largest recent run time", "s"),
            Feature("recent_log_mean", "mean of ln(1 + recent run time)", "ln s"),
            Feature("recent_log_std", "standard deviation of ln(1 + recent run time)", "ln s"),
            Feature("recent_count", f"known recent run times, 0 to {HISTORY_DEPTH}", "jobs"),
            Feature("last_over_limit", "last_runtime / wallclock_req", "1"),
            Feature("median_over_limit", "recent_median / wallclock_req", "1"),
            Feature("share_over_limit", "share of recent run times >= wallclock_req", "1"),
            Feature("recent_trend", "ln(1 + last_runtime) - recent_log_mean", "ln s"),
        ),
        node=node,
    )


PREDICTOR = Predictor(
    name="hpc-runtime",
    inputs=INPUTS,
    target="run_time",
    target_unit="s",
    limit="wallclock_req",
    categories=CATEGORIES,
    feature_blocks=feature_blocks,
)
