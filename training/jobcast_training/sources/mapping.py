"""A mapping: which column of a plain table holds which field of a record, and in which unit.

Read from TOML; a name that does not exist is an error that suggests the nearest one, never ignored.
"""

import difflib
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path

from jobcast_training.records import SCHEMA, SourceError
from jobcast_training.sources.clock import check_timezone

MEMORY_UNITS = {"B": 1 / 1024**2, "KB": 1 / 1024, "MB": 1.0, "GB": 1024.0, "TB": 1024.0**2}
TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
MEMORY = ("mem_req", "max_rss")
DURATIONS = ("wallclock_req", "run_time", "wait_time")
MOMENTS = ("submit_time", "start_time", "end_time")
FIELDS = (*SCHEMA, "start_time", "wait_time")
STATES = ("completed", "failed", "cancelled", "timeout", "out_of_memory", "node_fail", "preempted", "unknown")
_PER = ("job", "node", "processor")
_KEYS = ("column", "unit", "per")


@dataclass(frozen=True)
class Cell:
    """Where a field is: its column, what turns it into the record's unit, and what it counts per."""

    column: str
    factor: float = 1.0
    per: str = "job"


@dataclass(frozen=True)
class Mapping:
    """Fields of a record by the columns of a table.

    Attributes:
        cells: by field, at least `submit_time` and either `run_time` or both `start_time` and `end_time`.
        states: the table's words for a state -> the record's; empty reads Slurm's words.
        timezone: zone of times written without one; None leaves it to the reader's option.
    """

    cells: Table[str, Cell]
    states: Table[str, str] = field(default_factory=dict)
    timezone: str | None = None

    @classmethod
    def load(cls, path: Path) -> "Mapping":
        """Read a mapping from a TOML file.

        Raises:
            SourceError: the file cannot be read, is no TOML, or names something that does not exist.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as cause:
            raise SourceError(f"{path.name}: cannot be read: {cause.strerror}") from cause
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
            raise SourceError(f"{path.name}: not valid TOML: {cause}") from cause
        return cls.parse(document, path.name)

    @classmethod
    def parse(cls, document: Table[str, object], name: str = "mapping") -> "Mapping":
        """Check and type a mapping that is already in memory.

        Raises:
            SourceError: names the key, the rule and the value.
        """
        _known(name, "table", document, ("columns", "states", "timezone"))
        columns = _table(name, "columns", document.get("columns", {}))
        _known(f"{name} [columns]", "field", columns, FIELDS)
        cells = {key: _cell(f"{name} [columns] {key}", key, value) for key, value in columns.items()}
        if "submit_time" not in cells:
            raise SourceError(f"{name} [columns]: submit_time is missing; a record needs it")
        if "run_time" not in cells and not {"start_time", "end_time"} <= cells.keys():
            raise SourceError(f"{name} [columns]: run_time is missing; give it, or both start_time and end_time")
        states = {key: str(value) for key, value in _table(name, "states", document.get("states", {})).items()}
        _known(f"{name} [states]", "state", states.values(), STATES)
        zone = document.get("timezone")
        return cls(cells, states, None if zone is None else check_timezone(str(zone)))


def suggestion(word: str, words: Iterable[str]) -> str:
    """What may have been meant, or everything there is."""
    words = list(words)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(words)}"


def _known(place: str, kind: str, words: Iterable[str], known: tuple[str, ...]) -> None:
    for word in words:
        if word not in known:
            raise SourceError(f"{place}: unknown {kind} {word!r}; {suggestion(word, known)}")


def _table(name: str, key: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SourceError(f"{name}: {key} must be a table, got {value!r}")
    return value


def _cell(place: str, name: str, value: object) -> Cell:
    if isinstance(value, str):
        return Cell(value)
    options = _table(place, "the value", value)
    _known(place, "key", options, _KEYS)
    column = options.get("column")
    if not isinstance(column, str):
        raise SourceError(f"{place}: column must be the name of a column, got {column!r}")
    per = str(options.get("per", "job"))
    _known(place, "per", (per,), _PER if name in MEMORY else ("job",))
    return Cell(column, _factor(place, name, options.get("unit")), per)


def _factor(place: str, name: str, unit: object) -> float:
    """What turns a number of this unit into the record's."""
    if unit is None:
        return 1.0
    units = MEMORY_UNITS if name in MEMORY else TIME_UNITS if name in (*DURATIONS, *MOMENTS) else {}
    if not units:
        raise SourceError(f"{place}: {name} has no unit, got {unit!r}; leave it out")
    _known(place, "unit", (str(unit),), tuple(units))
    return units[str(unit)]
