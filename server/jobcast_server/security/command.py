"""`jobcast keys`: the file of API keys that `jobcast serve --keys` reads. A token is shown once, when it is made."""

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from pydantic import ValidationError

from jobcast_server.errors import StartupError
from jobcast_server.output import print_table
from jobcast_server.security import keys as keyfile
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope

FILE = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, envvar="JOBCAST_KEYS",
    help="The file of keys [variable: JOBCAST_KEYS].",
)  # fmt: skip


@click.group()
def keys() -> None:
    """Make, list and revoke the API keys of a server; one that runs follows within a second."""


@keys.command()
@FILE
@click.option("--id", "name", required=True, help="What logs call it: a-z, 0-9 and ._- such as slurm.")
@click.option(
    "--scope", "scopes", type=click.Choice([scope.value for scope in Scope]), multiple=True, required=True,
    help="What it opens; may be repeated. predict: ask models; report: tell outcomes, read metrics and statistics; "
    "admin: load, unload, train, write tables.",
)  # fmt: skip
@click.option("--rate", type=float, default=0.0, show_default=True, help="Calls per second; 0 = no limit.")
@click.option(
    "--burst", type=float, default=0.0, show_default=True, help="Calls at once, with a rate; 0 = those of a second."
)
@click.option("--days", type=click.FloatRange(0, 36_500, min_open=True), help="Days until it expires; never without.")
def new(path: Path, name: str, scopes: tuple[str, ...], rate: float, burst: float, days: float | None) -> None:
    """Add a key, and print its token, which is written nowhere."""
    if days is not None and math.isnan(days):  # which lies in every range
        raise click.UsageError("--days: must be a number, got nan")
    if burst and not rate:
        raise click.UsageError("--burst: is of a key with a --rate; without one nothing bounds its calls")
    token = keyfile.secret()
    expires = None if days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    try:
        key = Key(
            id=name, sha256=keyfile.digest(token.encode()).hex(), scopes=frozenset(map(Scope, scopes)), rate=rate,
            burst=burst, expires=expires,
        )  # fmt: skip
    except ValidationError as error:
        raise click.UsageError("; ".join(f"--{item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
    with _changing(path) as known:
        if any(one.id == name for one in known):
            raise click.UsageError(f"--id: {name} is there already; revoke it first, or take another")
        known.append(key)
    click.echo(token)
    click.echo(f"{name}: written to {path}; this token is shown once", err=True)


@keys.command()
@FILE
@click.option("--id", "name", required=True, help="The key to take away.")
def revoke(path: Path, name: str) -> None:
    """Take a key away."""
    with _changing(path) as known:
        kept = [key for key in known if key.id != name]
        if len(kept) == len(known):
            there = ", ".join(key.id for key in known) or "none"
            raise click.UsageError(f"--id: {name} is not in {path}; there: {there}")
        known[:] = kept
    click.echo(f"{name}: revoked", err=True)


@keys.command("list")
@FILE
def listed(path: Path) -> None:
    """Show the keys; there are no secrets to show."""
    rows = []
    for key in _read(path):
        rate, burst = key.bounds or (None, None)
        ended = " (expired)" if key.over(datetime.now(UTC)) else ""
        rows.append((
            key.id, ",".join(scope for scope in Scope if scope in key.scopes), "" if rate is None else f"{rate:g}/s",
            "" if burst is None else f"{burst:g}", f"{key.expires.isoformat()}{ended}" if key.expires else "",
            key.sha256[:12],
        ))  # fmt: skip
    print_table(("id", "scopes", "rate", "burst", "expires", "sha256"), rows)


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, written back in one step; two commands at once take turns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = list(_read(path)) if path.exists() else []
            yield known
            keyfile.write(path, tuple(known))
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None


def _read(path: Path) -> tuple[Key, ...]:
    try:
        return keyfile.read(path)
    except StartupError as error:
        raise click.ClickException(str(error)) from None
