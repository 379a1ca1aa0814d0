"""A command whose first argument may name a predictor that has a command of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import click

Loader = Callable[[], click.Command]


class Routed(click.Command):
    """Hands over to a command in `own` when the first argument names it; help and errors are then that command's."""

    def __init__(self, *args: Any, own: Mapping[str, Loader], **more: Any) -> None:
        super().__init__(*args, **more)
        self.own = own

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context of the command that the first argument names."""
        if args and args[0] in self.own:
            return self.own[args[0]]().make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the commands that are handed over to."""
        super().format_epilog(ctx, formatter)
        for name in self.own:
            formatter.write_text(f"{name} has options of its own: {ctx.command_path} {name} --help")
