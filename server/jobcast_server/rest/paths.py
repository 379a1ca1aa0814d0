"""Paths, whose parts are percent-decoded exactly once: `%2F` in a part is a character of it, never a separator."""

from urllib.parse import quote, unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor

from jobcast_server.rest.faults import HttpError


def decode(part: str) -> str:
    """A part as it is meant.

    Raises:
        HttpError: 404, it is not UTF-8, so nothing can have that name.
    """
    if "%" not in part:
        return part
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise HttpError(404, f"path: {part[:80]!r} is not UTF-8 once its percent signs are decoded") from None


def canonical(raw: str) -> str:
    """The path with every part written in the one way that `quote` has, so that fixed parts compare as they are.

    Raises:
        HttpError: 404, a part is not UTF-8.
    """
    if "%" not in raw:
        return raw
    return "/".join(quote(decode(part), safe="") for part in raw.split("/"))


def inference(path: str) -> tuple[str, str] | None:
    """Name and version (or none) of the model when the canonical path is that of an inference request."""
    match path.split("/"):
        case ["", "v2", "models", name, "infer"] if name:
            return decode(name), ""
        case ["", "v2", "models", name, "versions", version, "infer"] if name and version:
            return decode(name), decode(version)
    return None


class _Part(Convertor[str]):
    """One part of a canonical path, decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return decode(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("part", _Part())
