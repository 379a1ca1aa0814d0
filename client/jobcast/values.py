"""One value of a record to what the input of a model takes, or why it is none.

Nothing is taken for what it is not: a text is no number, a number no text, and a number with a unit behind it is not
converted by guess. What is not known (None, NaN, an empty text) is the input's default, NaN or an empty text.
"""

import math
import numbers
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from jobcast_proto.manifest import InputSpec
from jobcast_proto.rules import MISSING, Rules

TYPE = "wrong type"
UNIT = "mixed units"
LENGTH = "too many values"
WHOLE = "not a whole number"

NAN = float("nan")

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WITH_UNIT = re.compile(rf"(?:{_NUMBER.pattern})\s*[^\W\d_][\w%/]*")
_UNKNOWN = frozenset(("NAType", "NaTType"))
"""Types of what pandas puts where a value is not known."""

Value = float | int | str


class Wrong(ValueError):  # noqa: N818
    """A value that the input does not take.

    Attributes:
        reason: its kind, one of a closed set.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Reader:
    """Reads the values of one input.

    Attributes:
        width: values in a row.
    """

    def __init__(self, spec: InputSpec, *, written: bool) -> None:
        """`written`: values are texts as people write them in a file of text or on the command line."""
        self.spec = spec
        self.width = math.prod(spec.shape[1:])
        self._written = written
        self._rules = Rules(spec)
        self._time = is_time(spec)
        self._unit = "Unix seconds, or a date and time" if self._time else spec.unit
        self._convert: Callable[[Any, float], Value] = self._text if spec.type == "string" else self._number
        empties: dict[str, Value] = {"string": "", "int64": 0, "float64": NAN}
        self._empty: Value = empties[spec.type] if spec.default is None else spec.default
        self._needed = spec.required and spec.default is None

    def read(self, raw: Any, name: str, factor: float) -> list[Value]:
        """The values of one row, `width` of them, from what the record holds under `name` in a unit of its own.

        Raises:
            Wrong: with rule and value.
        """
        if self.width == 1:
            return [self._one(raw, name, factor)]
        items = self._items(raw)
        if len(items) > self.width:
            raise Wrong(LENGTH, f"must hold at most {self.width} values, got {len(items)}")
        if len(items) < self.width and self._needed:
            raise Wrong(MISSING, f"must hold {self.width} values, got {len(items)}")
        found = [self._one(item, name, factor) for item in items]
        return found + [self._empty] * (self.width - len(found))

    def _one(self, raw: Any, name: str, factor: float) -> Value:
        if unknown(raw) or (self._written and self.spec.type != "string" and not raw.strip()):
            if self._needed:
                raise Wrong(MISSING, f"must be given{self._in()}, got {'nothing' if unknown(raw) else repr(raw)}")
            return self._empty
        value = self._convert(raw, factor)
        broken = self._rules.broken(value)
        if broken:
            told = broken[1] if factor == 1 else f"{broken[1]} {self.spec.unit} from {raw!r} as {name}"
            raise Wrong(broken[0], told)
        return value

    def _items(self, raw: Any) -> list[Any]:
        if unknown(raw):
            return []
        if self._written and isinstance(raw, str):
            return [part for part in re.split(r"[,;\s]+", raw.strip().strip("[]")) if part]
        if not isinstance(raw, list | tuple) and hasattr(raw, "tolist"):
            raw = raw.tolist()
        if not isinstance(raw, list | tuple):
            raise Wrong(TYPE, f"must be a list of at most {self.width} values, got {shown(raw)}")
        return list(raw)

    def _text(self, raw: Any, factor: float) -> str:
        if not isinstance(raw, str):
            raise Wrong(TYPE, f"must be text, got {shown(raw)}")
        try:
            raw.encode()
        except UnicodeEncodeError:
            raise Wrong(TYPE, f"must be valid Unicode text, got {shown(raw)}") from None
        return raw.strip() or str(raw)  # as training reads them; one of blanks alone is one

    def _number(self, raw: Any, factor: float) -> Value:
        value = raw if type(raw) is float or type(raw) is int else self._plain(raw)
        if factor != 1:
            value = value * factor
        if self.spec.type == "int64":
            return self._whole(value)
        try:
            number = float(value)
        except OverflowError:
            raise Wrong(TYPE, f"must fit a double, got {shown(raw)}") from None
        return NAN if number == self.spec.missing else number

    def _whole(self, value: float | int) -> int:
        if isinstance(value, float):
            if not math.isfinite(value) or (value != math.floor(value) and not self._time):
                raise Wrong(WHOLE, f"must be a whole number{self._in()}, got {value}")
            value = math.floor(value)
        return value

    def _plain(self, raw: Any) -> float | int:
        if isinstance(raw, str):
            return self._from_text(raw)
        if isinstance(raw, bool):
            if self.spec.unit == "0/1":
                return int(raw)
        elif isinstance(raw, date):  # a datetime is one, too
            return self._seconds(raw)
        elif isinstance(raw, numbers.Integral):
            return int(raw)
        elif isinstance(raw, numbers.Real | Decimal):
            return float(raw)
        elif hasattr(raw, "item"):  # a number of numpy, or an array of one
            return self._plain_item(raw)
        raise self._none(raw)

    def _plain_item(self, raw: Any) -> float | int:
        if getattr(getattr(raw, "dtype", None), "kind", "") == "M":  # its item may be bare nanoseconds
            raw = raw.astype("datetime64[us]")
        try:
            item = raw.item()
        except ValueError:  # an array of several
            raise self._none(raw) from None
        if type(item) is type(raw):
            raise self._none(raw)
        return self._plain(item) if type(item) is not float and type(item) is not int else item

    def _from_text(self, raw: str) -> float | int:
        text = raw.strip()
        if self._written and _NUMBER.fullmatch(text):
            return int(text) if text.isascii() and text.isdigit() else float(text)
        if self._written and self.spec.unit == "0/1" and text.lower() in ("true", "false"):
            return int(text.lower() == "true")
        if self._time:
            try:
                return self._seconds(datetime.fromisoformat(text))
            except ValueError:
                raise self._none(raw) from None
        if _WITH_UNIT.fullmatch(text):
            others = "".join(f", or in another unit as {other}" for other, f in self.spec.columns.items() if f != 1)
            raise Wrong(UNIT, f"must be a number without a unit{self._in()}{others}, got {shown(raw)}")
        raise self._none(raw)

    def _seconds(self, moment: date) -> float:
        if not self._time:
            raise self._none(moment)
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _none(self, raw: Any) -> Wrong:
        return Wrong(TYPE, f"must be a number{self._in()}, got {shown(raw)}")

    def _in(self) -> str:
        return f" in {self._unit}" if self._unit else ""


def is_time(spec: InputSpec) -> bool:
    """Whether an input is a moment in Unix seconds, rather than a duration or another number."""
    return spec.unit == "s" and (spec.type == "int64" or "unix" in spec.description.lower())


def unknown(raw: Any) -> bool:
    """Whether a value of a record says nothing."""
    if raw is None:
        return True
    if isinstance(raw, str):
        return not raw
    if isinstance(raw, float):
        return raw != raw
    if getattr(raw, "shape", None) == ():  # a scalar of numpy, whose NaT and NaN differ from themselves
        return bool(raw != raw)
    return type(raw).__name__ in _UNKNOWN


def shown(raw: Any) -> str:
    """A value for a message."""
    kind = {str: "text ", bool: "boolean "}.get(type(raw), "")
    text = f"{kind}{raw!r}"
    return text if len(text) <= 60 else f"{text[:57]}..."
