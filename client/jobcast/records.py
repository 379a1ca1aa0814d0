"""Raw records to the columns of a model's inputs: all of them, or an error that tells every problem by row.

The same code reads records for a bundle in this process and for one behind a server, so that both get the same bits.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobcast_proto.manifest import InputSpec

from jobcast.errors import InputError, Problem
from jobcast.frames import Columns, columns_of
from jobcast.job import suggestion
from jobcast.values import Reader, Value, Wrong, unknown

TWICE = "given twice"
NAME = "misspelt column"
ABSENT = "missing column"
EMPTY = "no records"
SHAPE = "not a table"


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of some rows.

    Attributes:
        columns: values by input, row after row; an input of k values a row has k times as many.
        ignored: columns of the records that stand for no input.
    """

    rows: int
    columns: Mapping[str, list[Value]]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bound:
    """An input, and the columns that give it, each with its factor, the input's own name first."""

    reader: Reader
    sources: tuple[tuple[str, float], ...]


class Records:
    """Reads records for the inputs of one model."""

    def __init__(self, inputs: Sequence[InputSpec], *, written: bool = False) -> None:
        """`written`: every value is text, as in a file of text or on the command line."""
        self._readers = [Reader(spec, written=written) for spec in inputs]
        self._known = {name for spec in inputs for name in (spec.name, *spec.columns)}
        self._by_plain = {_plain(name): name for name in sorted(self._known)}

    @property
    def names(self) -> list[str]:
        """Every name under which a record may give an input: the inputs' own first."""
        own = [reader.spec.name for reader in self._readers]
        return [*own, *sorted(self._known - set(own))]

    def read(self, raw: Any) -> Batch:
        """The inputs of every row.

        Args:
            raw: a polars or pandas frame, a mapping of columns, or a list of mappings.

        Raises:
            InputError: at least one row cannot be read; tells every problem.
        """
        try:
            columns, rows = columns_of(raw)
        except ValueError as error:
            raise InputError([Problem(None, "", SHAPE, str(error))], 0) from None
        batch, problems = self.sift(columns, rows)
        if problems:
            raise InputError(problems, rows)
        return batch

    def sift(self, columns: Columns, rows: int) -> tuple[Batch, list[Problem]]:
        """The inputs of the rows that can be read, and what is wrong with the others.

        Raises:
            InputError: the columns themselves are wrong, or there is no row; tells the rows' problems as well.
        """
        if not rows:
            raise InputError([Problem(None, "", EMPTY, "records: must hold at least one, got none")], 0)
        bound, general = self._bind(columns)
        problems: list[Problem] = []
        found = {one.reader.spec.name: _column(one, columns, rows, problems) for one in bound}
        problems += self._misspelt(columns, rows)
        if general:
            raise InputError([*general, *sorted(problems, key=_row)], rows)
        bad = {problem.row for problem in problems}
        if bad:
            good = [row for row in range(rows) if row not in bad]
            found = {name: [values[row] for row in good] for name, values in found.items()}
        flat = {name: [value for row in values for value in row or ()] for name, values in found.items()}
        ignored = tuple(name for name in columns if name not in self._known)
        return Batch(rows - len(bad), flat, ignored), sorted(problems, key=_row)

    def _misspelt(self, columns: Columns, rows: int) -> Iterable[Problem]:
        """Rows that give a value under another spelling of a column that other rows spell right."""
        for name in columns:
            meant = self._by_plain.get(_plain(name), name)
            if meant == name or name in self._known or meant not in columns:
                continue
            for row in range(rows):
                if unknown(columns[meant][row]) and not unknown(columns[name][row]):
                    yield Problem(row, name, NAME, f"must be written {meant!r}, got {name!r}")

    def _bind(self, names: Iterable[str]) -> tuple[list[_Bound], list[Problem]]:
        given = set(names)
        strange = [name for name in names if name not in self._known]
        problems, misspelt = [], set()
        for name in strange:
            meant = self._by_plain.get(_plain(name))
            if meant is not None and meant not in given:
                misspelt.add(meant)
                problems.append(Problem(None, name, NAME, f"must be written {meant!r}, got {name!r}"))
        bound = []
        for reader in self._readers:
            spec = reader.spec
            known = {spec.name: 1.0, **spec.columns}
            sources = tuple((name, factor) for name, factor in known.items() if name in given)
            if sources:
                bound.append(_Bound(reader, sources))
            elif spec.required and spec.default is None and not misspelt & known.keys():
                near = suggestion(spec.name, strange) if strange else ""
                near = near if near.startswith(", did") else ""
                others = f" (or {', '.join(spec.columns)})" if spec.columns else ""
                problems.append(Problem(None, spec.name, ABSENT, f"must be given{others}, got no such column{near}"))
        return bound, problems


def _column(
    bound: _Bound, columns: Mapping[str, list[Any]], rows: int, problems: list[Problem]
) -> list[list[Value] | None]:
    """The values of one input by row; None where there is a problem."""
    read = bound.reader.read
    found: list[list[Value] | None] = []
    name, factor = bound.sources[0]
    alone = len(bound.sources) == 1
    raw = columns[name]
    for row in range(rows):
        try:
            found.append(read(raw[row], name, factor) if alone else _agreed(bound, columns, row))
        except Wrong as error:
            found.append(None)
            problems.append(Problem(row, name if alone else bound.reader.spec.name, error.reason, str(error)))
    return found


def _agreed(bound: _Bound, columns: Mapping[str, list[Any]], row: int) -> list[Value]:
    """The values of an input that several columns may give: all that do must say the same."""
    told = [(name, factor) for name, factor in bound.sources if not unknown(columns[name][row])] or bound.sources[:1]
    first, *others = [bound.reader.read(columns[name][row], name, factor) for name, factor in told]
    for (name, _), other in zip(told[1:], others, strict=True):
        if not all(a == b or (a != a and b != b) for a, b in zip(first, other, strict=True)):
            both = f"{columns[told[0][0]][row]!r} as {told[0][0]} and {columns[name][row]!r} as {name}"
            raise Wrong(TWICE, f"must be given once, got {both}")
    return first


def _plain(name: str) -> str:
    """A name without what people write differently."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row(problem: Problem) -> int:
    return problem.row or 0
