"""Which tasks are alike: the five fields that name a model, its hardware and the software that runs it."""

from typing import NamedTuple
from urllib.parse import quote

from jobcast_proto.manifest import TaskKey

from jobcast_server.errors import InvalidRequestError, Violation

LONGEST = 128
"""Characters of a field."""


class Key(NamedTuple):
    """The five identity fields; '' = not given, which only a request without a path may leave so."""

    type: str
    name: str
    hardware: str
    software_name: str
    software_version: str

    @property
    def label(self) -> str:
        """The key as it stands in a path: parts percent-encoded and joined by slashes."""
        return "/".join(quote(part, safe="") for part in self)

    @property
    def whole(self) -> bool:
        """Whether every field is given."""
        return all(self)

    def manifest(self) -> TaskKey:
        """The key as a manifest holds it; only a whole one can be."""
        return TaskKey.model_validate(self._asdict())

    def fits(self, other: "Key") -> bool:
        """Whether `other` has every field that is given here."""
        return all(not mine or mine == its for mine, its in zip(self, other, strict=True))


INPUTS = {"model_type": 0, "model_name": 1, "hardware": 2, "software_name": 3, "software_version": 4}
"""Place in a key by the name that a bundle's input, a request's field or a table's column has."""


def checked(key: Key, names: tuple[str, ...] = tuple(INPUTS)) -> Key:
    """The key.

    Raises:
        InvalidRequestError: a field is too long.
    """
    for name, part in zip(names, key, strict=True):
        if len(part) > LONGEST:
            raise InvalidRequestError([Violation(name, f"must be at most {LONGEST} characters, got {len(part)}")])
    return key
