"""A run: faults one after the other, each on ground of its own, each judged by its rules."""

import json
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import grpc

from jobcast_bench.chaos.ground import CannotError, Fault, Ground, Record
from jobcast_bench.chaos.load import WrongError
from jobcast_bench.chaos.rule import judge
from jobcast_bench.fleet import split_cores
from jobcast_bench.generator import GeneratorError
from jobcast_bench.machine import machine, versions
from jobcast_bench.process import ServerError

State = Literal["kept", "broken", "not run"]

LOST_CALLS = (
    "wrong", "unexpected", "broken", "rest_wrong", "rest_unexpected", "load_wrong", "load_unexpected",
    "batches_unexpected",
)  # fmt: skip
"""Measures of calls that were neither answered rightly nor refused."""


@dataclass(frozen=True)
class Outcome:
    """What became of one fault: `broken` says which promises broke and how, or why it was not run."""

    fault: Fault
    state: State
    broken: list[str] = field(default_factory=list)
    record: Record = field(default_factory=lambda: Record({}))

    @property
    def calls_lost(self) -> float:
        """Calls without a right answer, of callers who were not refused."""
        return sum(self.record.measures.get(name, 0) for name in LOST_CALLS)

    @property
    def outcomes_lost(self) -> float | None:
        """Acknowledged outcomes that are gone; None where none were reported."""
        return self.record.measures.get("lost_outcomes")


def run(
    faults: Iterable[Fault], models: Path, said: Callable[[Outcome], None], begin: Callable[[Fault], None]
) -> list[Outcome]:
    """Bring each fault in turn."""
    outcomes = []
    for fault in faults:
        begin(fault)
        outcomes.append(bring(fault, models))
        said(outcomes[-1])
    return outcomes


def bring(fault: Fault, models: Path, pace: float = 1.0) -> Outcome:
    """Bring one fault and judge it; a server that does not survive what it should breaks the promise."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcast-chaos-")))
        ground = stack.enter_context(Ground(models.resolve(), folder, split_cores(), pace))
        try:
            record = fault.bring(ground)
        except CannotError as error:
            return Outcome(fault, "not run", [str(error)])
        except (ServerError, WrongError, GeneratorError, TimeoutError, OSError, grpc.RpcError) as error:
            return Outcome(fault, "broken", [f"{type(error).__name__}: {error}".replace(str(folder), "")])
        record.notes = [note.replace(str(folder), "").replace(str(models.resolve()), "models") for note in record.notes]
        broken = judge(fault.rules, record.measures)
        return Outcome(fault, "broken" if broken else "kept", broken, record)


def write_json(outcomes: list[Outcome], command: str, folder: Path) -> None:
    """Everything, as chaos.json."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "faults": [
            {
                "name": outcome.fault.name,
                "title": outcome.fault.title,
                "promise": outcome.fault.promise,
                "state": outcome.state,
                "broken": outcome.broken,
                "calls_lost": outcome.calls_lost,
                "outcomes_lost": outcome.outcomes_lost,
                "measures": {name: _plain(value) for name, value in outcome.record.measures.items()},
                "notes": outcome.record.notes,
            }
            for outcome in outcomes
        ],
    }
    (folder / "chaos.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _plain(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    number = float(value)
    return number if abs(number) < float("inf") else None
