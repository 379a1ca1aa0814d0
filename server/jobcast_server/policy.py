"""Which versions of a model are served: the latest N that are good, all of them, or those that are named."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WRITTEN = re.compile(r"all|latest:([1-9]\d{0,9})|specific:([1-9]\d{0,8}(?:,[1-9]\d{0,8})*)")


@dataclass(frozen=True)
class Policy:
    """Versions to serve.

    Attributes:
        latest: how many of the newest good versions; 0 = no such limit.
        specific: these and no others; None = any.
    """

    latest: int = 1
    specific: frozenset[int] | None = None

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Read `latest:N`, `all` or `specific:1,3`.

        Raises:
            ValueError: says how to write it.
        """
        match = _WRITTEN.fullmatch(text)
        if not match:
            raise ValueError(f"must be latest:N, all or specific:V,V, got {text!r}")
        if match[1]:
            return cls(latest=int(match[1]))
        return cls(0, None if match[2] is None else frozenset(map(int, match[2].split(","))))

    def __str__(self) -> str:
        if self.specific is not None:
            return "specific:" + ",".join(map(str, sorted(self.specific)))
        return f"latest:{self.latest}" if self.latest else "all"

    def candidates(self, versions: Iterable[int]) -> list[int]:
        """The versions that may be served, newest first."""
        return sorted((v for v in versions if self.specific is None or v in self.specific), reverse=True)

    def enough(self, good: int) -> bool:
        """Whether `good` versions are as many as are served."""
        return bool(self.latest) and good >= self.latest
