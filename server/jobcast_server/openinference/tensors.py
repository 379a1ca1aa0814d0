"""The data of tensors: raw little-endian numbers, and texts each behind its length in four bytes."""

import struct
from collections.abc import Iterable

from jobcast_server.errors import InvalidRequestError, Violation

LENGTH = struct.Struct("<I")


class Texts:
    """A raw BYTES tensor, read from its begin in steps, so that a large one never holds up others."""

    def __init__(self, raw: bytes | memoryview, count: int, name: str) -> None:
        self._raw = memoryview(raw)
        self._left = count
        self._count = count
        self._name = name
        self._position = 0

    def take(self, count: int) -> list[str]:
        """The next `count` texts.

        Raises:
            InvalidRequestError: a length leads past the end, data is left over, or a text is not UTF-8.
        """
        raw, position, end = self._raw, self._position, len(self._raw)
        texts = []
        for _ in range(count):
            start = position + 4
            if start > end:
                raise self._problem(f"must hold {self._count} texts, got fewer")
            (length,) = LENGTH.unpack_from(raw, position)
            position = start + length
            if position > end:
                raise self._problem(f"has a text of {length} bytes that leads past its end")
            texts.append(decoded(raw[start:position], self._name))
        self._position = position
        self._left -= count
        if not self._left and position != end:
            raise self._problem(f"must hold {self._count} texts, got {end - position} more bytes")
        return texts

    def _problem(self, text: str) -> InvalidRequestError:
        return InvalidRequestError([Violation(f"inputs[{self._name}]", text)])


def decoded(raw: bytes | memoryview, name: str) -> str:
    """A text.

    Raises:
        InvalidRequestError: it is not UTF-8.
    """
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            [Violation(f"inputs[{name}]", f"must be UTF-8 text, got byte {error.object[error.start]:#x}")]
        ) from None


def encode_texts(texts: Iterable[str]) -> bytes:
    """A raw BYTES tensor."""
    parts: list[bytes] = []
    for text in texts:
        raw = text.encode()
        parts += (LENGTH.pack(len(raw)), raw)
    return b"".join(parts)
