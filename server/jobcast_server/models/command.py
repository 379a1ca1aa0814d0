"""`jobcast models list|show|verify|diff|rollback`.

Exit codes: 0 done, 1 no answer from a server or a file that cannot be written, 2 wrong use or a version that is
refused.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from jobcast_server.errors import BundleError, StartupError
from jobcast_server.policy import Policy
from jobcast_server.settings import Settings, read, variable

REFUSED = 2
CODES = (
    "Exit codes: 0 done, 1 no answer from a server or a file that cannot be written, 2 wrong use or a version that is "
    "refused."
)
ANSWER_S = 5.0

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """A version that is refused, or a name that is not there."""

    exit_code = REFUSED


def _setting(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The option that sets what `jobcast serve` reads under the same name."""
    about = Settings.model_fields[name]
    shown = f"{about.description} [default: {about.default}; variable: {variable(name)}]"
    metavar = getattr(about.annotation, "__name__", "").upper()
    return click.option("--" + name.replace("_", "-"), name, default=None, metavar=metavar, help=shown)


def _common(command: Callable[P, R]) -> Callable[P, R]:
    json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
    return _setting("models")(_setting("golden_ulps")(json_option(command)))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except StartupError as error:
        raise Refused(str(error)) from error
    except BrokenPipeError:  # whoever read the output has gone: click ends quietly
        raise
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


@contextmanager
def _repository(**options: Any) -> Iterator[Any]:
    """The repository that the options name; what goes wrong with it becomes a message and an exit code."""
    with _told():
        settings = read(options)
        from jobcast_server.models.versions import Repository  # onnxruntime loads only when it is needed

        yield Repository(settings.models, Policy.parse(settings.version_policy), settings)


@click.group(epilog=CODES)
def models() -> None:
    """Look after a repository of bundles: list, show, verify, diff, rollback."""


@models.command("list", epilog=CODES)
@click.option("--address", metavar="HOST:PORT", help="Show beside it what the server there says (gRPC).")
@_common
def list_versions(models: str | None, golden_ulps: str | None, as_json: bool, address: str | None) -> None:
    """List every version, and what a server that starts now would make of it."""
    from jobcast_server.models import listing
    from jobcast_server.models.index import NoAnswerError, ask

    with _repository(models=models, golden_ulps=golden_ulps) as repository:
        lines = [line for home in repository.homes().values() for line in repository.versions(home)]
        try:
            index = ask(address, ANSWER_S) if address else None
        except NoAnswerError as error:
            raise click.ClickException(str(error)) from error
        rows = listing.beside(lines, index)
        if as_json:
            click.echo(json.dumps(rows))
        else:
            listing.print_listing(rows, served=index is not None)


@models.command(epilog=CODES)
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@_common
def show(name: str, version: int | None, models: str | None, golden_ulps: str | None, as_json: bool) -> None:
    """Show the manifest of a version; without one, of the version that would be served."""
    from jobcast_server.models.sheet import print_sheet
    from jobcast_server.repository.bundle import read_manifest

    with _repository(models=models, golden_ulps=golden_ulps) as repository:
        folder = repository.folder(name, version)
        manifest = read_manifest(folder)
        if as_json:
            click.echo(manifest.model_dump_json(exclude_unset=True))  # no NaN, which is no JSON
        else:
            print_sheet(folder, manifest)


@models.command(epilog=CODES)
@click.argument("name", required=False)
@click.argument("version", type=click.IntRange(min=1), required=False)
@_common
@click.pass_context
def verify(
    ctx: click.Context, name: str | None, version: int | None, models: str | None, golden_ulps: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Verify every version as a server does before it serves: hashes, structure, golden rows."""
    from jobcast_server.models.listing import print_verdicts, verdicts

    with _repository(models=models, golden_ulps=golden_ulps) as repository:
        found = verdicts(repository, name, version)
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_verdicts(found)
    if any(not verdict["good"] for verdict in found):
        ctx.exit(REFUSED)


@models.command(epilog=CODES)
@click.argument("name")
@click.argument("old", type=click.IntRange(min=1))
@click.argument("new", type=click.IntRange(min=1))
@_common
def diff(name: str, old: int, new: int, models: str | None, golden_ulps: str | None, as_json: bool) -> None:
    """Show what changed between two versions, and how much their predictions differ on the golden rows of both."""
    from jobcast_server.models.difference import differ
    from jobcast_server.models.page import print_difference
    from jobcast_server.models.predictions import Comparison, compare
    from jobcast_server.repository.bundle import read_manifest

    with _repository(models=models, golden_ulps=golden_ulps) as repository:
        folders = [repository.folder(name, version) for version in (old, new)]
        found = differ(*map(read_manifest, folders))
        try:
            bundles = [repository.verify(folder) for folder in folders]
            answers = compare(bundles[0], folders[0], bundles[1], folders[1])
        except BundleError as error:
            answers = Comparison(reason=f"a version is refused: {error}")
    if as_json:
        click.echo(json.dumps({"name": name, "old": old, "new": new, **found, "predictions": asdict(answers)}))
    else:
        print_difference(name, old, new, found, answers)


@models.command(epilog=CODES)
@click.argument("name")
@click.option(
    "--to", "version", type=click.IntRange(min=1), metavar="VERSION",
    help="Version to pin; otherwise the one before the version that is served.",
)  # fmt: skip
@click.option("--release", "lift", is_flag=True, help="Take the pin away instead.")
@_common
def rollback(
    name: str, version: int | None, lift: bool, models: str | None, golden_ulps: str | None, as_json: bool
) -> None:
    """Pin an earlier version, once it is verified, in the model's config.pbtxt."""
    if lift and version is not None:
        raise click.UsageError("--to: does not go with --release, which takes the pin away")
    from jobcast_server.models.rollback import release, roll_back

    with _repository(models=models, golden_ulps=golden_ulps) as repository:
        change = release(repository, name) if lift else roll_back(repository, name, version)
        path = Path(repository.root, name, "config.pbtxt")
    if as_json:
        click.echo(json.dumps({"name": name, **asdict(change)}))
        return
    before, after = (", ".join(map(str, versions)) or "none" for versions in (change.before, change.after))
    state = f"pinned to version {change.pinned}" if change.pinned else "not pinned"
    if not change.changed:
        click.echo(f"{name}: was {state} already; served: {after}")
        return
    click.echo(f"{name}: {state} in {path}; served: {before} before, {after} now")
    click.echo(
        "A server with --model-control poll follows within its --poll-interval. With none, restart it; "
        f"with explicit, send it RepositoryModelLoad for {name}."
    )
