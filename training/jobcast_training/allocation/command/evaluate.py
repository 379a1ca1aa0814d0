"""`jobcast evaluate` of a predictor of an amount: an existing bundle judged on records."""

from pathlib import Path
from typing import Any

import click

from jobcast_training.allocation import catalogue
from jobcast_training.allocation.command.asked import Judging
from jobcast_training.allocation.command.bundles import version_folder
from jobcast_training.allocation.command.effects import refuse_idle_prices
from jobcast_training.allocation.command.options import (
    Grouped,
    GroupedCommand,
    json_option,
    judging_options,
    record_options,
)
from jobcast_training.allocation.command.planning import judged_by
from jobcast_training.allocation.command.reading import tell_records
from jobcast_training.command.console import wide_console


def evaluate_command(name: str) -> click.Command:
    """Return the command that judges a bundle of this predictor."""

    @click.command(name, cls=GroupedCommand, help=f"Judge a bundle of {name} on raw records. Nothing is trained.")
    @record_options
    @click.option(
        "--model",
        cls=Grouped,
        group="Model",
        default=Path("models") / name,
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of a version, or of a model, whose highest version is taken.",
    )
    @judging_options
    @json_option
    @click.pass_context
    def evaluate(ctx: click.Context, /, model: Path, **_: Any) -> None:
        from jobcast_training.allocation.command.judgement import tell_judgement

        asked = Judging.of(ctx)
        refuse_idle_prices(asked)
        try:
            predictor = catalogue.load(name)
            folder = version_folder(model)
            records = asked.records.read(predictor)
            tell_records(wide_console(), predictor, records)
            tell_judgement(predictor, records, folder, judged_by(asked), as_json=asked.as_json)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error

    command: click.Command = evaluate
    return command
