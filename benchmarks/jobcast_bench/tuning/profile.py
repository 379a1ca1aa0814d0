"""A profile: a configuration file of the server, with what stands behind each value in its table `evidence`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from jobcast_bench.measures import Summary
from jobcast_bench.tuning.candidates import Options
from jobcast_bench.tuning.search import Plan, Trial


def render(best: Options, trials: Sequence[Trial], plan: Plan, machine: Mapping[str, object]) -> str:
    """The file's text, TOML; the server reads the options and leaves the evidence to people and programs."""
    about = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "by": "jobcast tune",
        "machine": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "bundle": f"{plan.bundle.parent.name}/{plan.bundle.name}",
        "objective": plan.objective,
        "windows": f"{plan.repeats} repeats of {plan.duration_s:g} s, one server beside the other",
    }
    lines = ["# jobcast serve --config FILE; jobcast tune makes it anew for another machine or bundle.", ""]
    lines += [f"{name} = {_text(value)}" for name, value in best.items()]
    lines += ["", "[evidence]"]
    lines += [f"{name} = {_text(value)}" for name, value in about.items()]
    for trial in trials:
        lines += ["", "[[evidence.trials]]", *_trial(trial)]
    return "\n".join(lines) + "\n"


def _trial(trial: Trial) -> list[str]:
    lines = [
        f"option = {_text(trial.option)}", f"value = {_text(trial.value)}", f"against = {_text(trial.against)}",
        f"taken = {_text(trial.taken)}",
    ]  # fmt: skip
    if trial.failure:
        return [*lines, f"failure = {_text(trial.failure)}"]
    for name, found in (
        ("score", trial.score), ("p99_speedup", trial.latency), ("calls_ratio", trial.calls),
        ("rows_ratio", trial.rows),
    ):  # fmt: skip
        if found is not None:
            lines.append(f"{name} = {_summary(found)}")
    return lines


def _summary(found: Summary) -> str:
    return f"{{ median = {found.median:.3f}, low = {found.low:.3f}, high = {found.high:.3f} }}"


def _text(value: object) -> str:
    """A TOML value: JSON's strings, numbers and booleans are TOML's."""
    return json.dumps(value, ensure_ascii=False)
