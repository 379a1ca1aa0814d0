"""A command whose first argument may name a predictor that has a command of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Loader = Callable[[], click.Command]


class Routed(click.Command):
    """Hands over to a command in `own` when the first argument names it; help and errors are then that command's.

    Args:
        own: finds the commands that are handed over to, by name; is asked anew each time.
    """

    def __init__(self, *args: Any, own: Callable[[], Mapping[str, Loader]], **more: Any) -> None:
        super().__init__(*args, **more)
        self._find = own

    @property
    def own(self) -> Mapping[str, Loader]:
        """The commands that are handed over to, by name."""
        return self._find()

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context of the command that the first argument names."""
        own = self.own
        if args and args[0] in own:
            return own[args[0]]().make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the commands that are handed over to."""
        super().format_epilog(ctx, formatter)
        for name in self.own:
            formatter.write_text(f"{name} has options of its own: {ctx.command_path} {name} --help")


class PredictorName(click.ParamType[str]):
    """A predictor whose options are those of the routed command itself; a wrong name is answered with the nearest.

    Args:
        names: of those predictors.
    """

    name = "predictor"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the names, those that are handed over to as well."""
        return f"{{{'|'.join(sorted([*self.names, *_own(ctx)]))}}}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fails with the nearest of all names for another."""
        from jobcast_training.sources.mapping import suggestion

        own = _own(ctx)
        if value in own and ctx is not None:
            self.fail(f"{value} has options of its own; name it first: {ctx.command_path} {value} ...", param, ctx)
        if value not in self.names:
            self.fail(f"unknown predictor {value!r}; {suggestion(value, sorted([*self.names, *own]))}", param, ctx)
        return str(value)


def _own(ctx: click.Context | None) -> Mapping[str, Loader]:
    return ctx.command.own if ctx is not None and isinstance(ctx.command, Routed) else {}
