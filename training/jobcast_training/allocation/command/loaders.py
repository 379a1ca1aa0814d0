"""The commands of the predictors of an amount that there are: one for each, made when it is asked for."""

from collections.abc import Mapping

import click

from jobcast_training.allocation import catalogue
from jobcast_training.command.routed import Loader


def train_loaders() -> Mapping[str, Loader]:
    """Return what makes `jobcast train NAME`, by name."""

    def loader(name: str) -> Loader:
        def made() -> click.Command:
            from jobcast_training.allocation.command.train import train_command

            return train_command(name)

        return made

    return {name: loader(name) for name in _names()}


def evaluate_loaders() -> Mapping[str, Loader]:
    """Return what makes `jobcast evaluate NAME`, by name."""

    def loader(name: str) -> Loader:
        def made() -> click.Command:
            from jobcast_training.allocation.command.evaluate import evaluate_command

            return evaluate_command(name)

        return made

    return {name: loader(name) for name in _names()}


def _names() -> tuple[str, ...]:
    try:
        return catalogue.names()
    except catalogue.PredictorError as error:
        raise click.ClickException(str(error)) from error
