"""The lookup tables that can be asked: files of one folder by their bare names, and one that the operator preloads.

A file is read when it is first asked for, and again when it has changed. A name never leads out of the folder. When the
preloaded file is spoilt or gone later on, what was read of it last goes on answering.
"""

import asyncio
import re
from collections import OrderedDict
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import structlog

from jobcast_server.errors import (
    InvalidRequestError,
    NotReadyError,
    RequestError,
    StartupError,
    UnknownModelError,
    Violation,
    shorten,
)
from jobcast_server.rest.json import wrong
from jobcast_server.taskpredictor import tablefile
from jobcast_server.taskpredictor.forecast import Forecast, forecasts
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.law import law_of
from jobcast_server.taskpredictor.table import Row, Table

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.(?:json|csv)")
FIELD = "lookup_table_name"
MOST_TABLES = 16
"""Tables kept in memory."""

Seen = tuple[int, int, int]
GONE: Seen = (0, 0, 0)

log = structlog.get_logger()


def checked(name: str, field: str = FIELD) -> str:
    """A table's bare file name.

    Raises:
        InvalidRequestError: it is something else.
    """
    if not NAME.fullmatch(name) or ".." in name:
        problem = f"must be a bare file name ending in .json or .csv, without any folder, got {shorten(name)}"
        raise InvalidRequestError([Violation(field, problem)])
    return name


class Tables:
    """Tables by name; used from the event loop, reads on `workers`.

    Attributes:
        default: file of the preloaded table, or None.
    """

    def __init__(self, folder: Path, default: str, levels: tuple[float, ...], workers: Executor) -> None:
        self.folder = folder
        self.default = Path(default) if default else None
        self._levels = levels
        self._workers = workers
        self._known: OrderedDict[Path, tuple[Seen, Table]] = OrderedDict()

    def preload(self) -> None:
        """Read the default table.

        Raises:
            StartupError: it cannot be read.
        """
        if self.default is None:
            return
        try:
            self._known[self.default] = _seen(self.default), self._load(self.default)
        except (OSError, InvalidRequestError) as error:
            raise StartupError(f"default_lookup_table: {self.default}: {error}") from None

    def loaded(self) -> list[Table]:
        """Tables in memory."""
        return [table for _, table in self._known.values()]

    def keys(self) -> set[Key]:
        """Keys of the tables in memory."""
        return {key for table in self.loaded() for key in table.whole_keys}

    async def get(self, name: str) -> Table:
        """The table of a name, or the default one for ''.

        Raises:
            InvalidRequestError: the name is none, or the file is no table.
            UnknownModelError: there is no such file.
        """
        path = self._path(name)
        try:
            seen = _seen(path)
        except OSError:
            seen = GONE
        known = self._known.get(path)
        if known is not None and known[0] == seen:
            self._known.move_to_end(path)
            return known[1]
        try:
            table = await self._read(path, seen)
        except RequestError as error:
            if path != self.default or known is None:
                raise
            log.warning("default table not read: the one before stays", path=str(path), reason=str(error))
            table = known[1]
        self._known[path] = seen, table
        self._known.move_to_end(path)
        while len(self._known) > MOST_TABLES:
            self._known.pop(next(old for old in self._known if old != self.default))
        return table

    async def _read(self, path: Path, seen: Seen) -> Table:
        if seen == GONE:
            raise UnknownModelError(f"{FIELD}: {shorten(path.name)} is not in the folder of tables")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._load, path)
        except OSError as error:
            raise NotReadyError(f"{FIELD}: {path.name} cannot be read: {error.strerror}") from None

    def _path(self, name: str) -> Path:
        if not name:
            if self.default is None:
                raise wrong(FIELD, "must be given: the server has no default table (DEFAULT_LOOKUP_TABLE)")
            return self.default
        path = self.folder / checked(name)
        if self.default is not None and name == self.default.name and not path.exists():
            return self.default
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise wrong(FIELD, f"must be a file of the folder of tables, got {name}, which leads out of it")
        return path

    def _load(self, path: Path) -> Table:
        rows = tablefile.read(path)
        return Table(rows, _forecasts(rows, self._levels))


def _forecasts(rows: list[Row], wanted: tuple[float, ...]) -> list[Forecast]:
    """Each row's forecast; those of the same levels are made together."""
    made: dict[int, Forecast] = {}
    grouped: dict[tuple[float, ...], list[int]] = {}
    for place, row in enumerate(rows):
        grouped.setdefault(row.levels, []).append(place)
    for levels, places in grouped.items():
        values = np.array([rows[place].quantiles for place in places])
        outside = [rows[place].outside for place in places]
        made.update(zip(places, forecasts(law_of(levels), values, outside, wanted), strict=True))
    for place, row in enumerate(rows):
        expect, error = made[place].expect, made[place].error
        made[place] = made[place]._replace(
            expect=expect if row.expect is None else row.expect, error=error if row.error is None else row.error
        )
    return [made[place] for place in range(len(rows))]


def _seen(path: Path) -> Seen:
    """How a regular file looks from outside."""
    stat = path.stat()
    if not path.is_file():
        raise OSError("is no regular file")
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
