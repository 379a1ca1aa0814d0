"""An option whose value is one of some words: a wrong one is answered with the nearest."""

from collections.abc import Sequence
from typing import Any

import click


class Choice(click.ParamType[str]):
    """One of some words.

    Args:
        words: that there are.
        what: a word stands for, in messages, such as `objective`.
    """

    name = "choice"

    def __init__(self, words: Sequence[str], what: str) -> None:
        self.words, self.what = tuple(words), what

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the words."""
        return f"[{'|'.join(self.words)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; fails with the nearest for another."""
        from jobcast_training.sources.mapping import suggestion

        if value not in self.words:
            self.fail(f"unknown {self.what} {value!r}; {suggestion(value, self.words)}", param, ctx)
        return str(value)
