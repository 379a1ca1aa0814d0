"""`jobcast chaos`: bring faults to a real server under load, and judge what is left.

Exit codes: 0 every promise was kept or its fault could not be brought here, 1 a promise broke, 2 a wrong option.
"""

import shlex
import sys
from pathlib import Path

import click

from jobcast_bench.bar import steps
from jobcast_bench.chaos.catalogue import FAULTS
from jobcast_bench.chaos.run import Outcome, run, write_json
from jobcast_bench.chaos.section import KEY, as_markdown, figure
from jobcast_bench.guard import prepare
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.page import put

BROKEN = 1
TITLE = "# Reliability\n"


@click.command()
@click.option("--models", type=click.Path(file_okay=False, path_type=Path), default="models", show_default=True)
@click.option("--only", "names", multiple=True, help="Only this fault; repeatable.")
@click.option("--list", "listed", is_flag=True, help="Name the faults and what is promised of each, and end.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Page to put the table in.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="reports/chaos", show_default=True)
def chaos(models: Path, names: tuple[str, ...], listed: bool, page: Path | None, out: Path) -> None:
    """Bring faults to a real server under load, and judge what is left by what is promised."""
    if listed:
        for fault in FAULTS:
            click.echo(f"{fault.name}: {fault.title}\n    {fault.promise}")
        return
    known = {fault.name: fault for fault in FAULTS}
    for name in names:
        if name not in known:
            raise click.UsageError(f"--only: must be one of {', '.join(known)}, got {name!r}")
    if newest_bundle(models) is None:
        raise click.UsageError(f"--models: no bundle of hpc-runtime in {models}; name the repository that ships")
    chosen = [known[name] for name in dict.fromkeys(names)] or list(FAULTS)
    prepare(out, page)
    command = shlex.join(["jobcast", *sys.argv[1:]])
    with steps(len(chosen)) as step:
        outcomes = run(chosen, models, _say, lambda fault: step(fault.title))
    write_json(outcomes, command, out)
    if page is not None:
        put(page, KEY, as_markdown(outcomes, command), TITLE)
    if any(outcome.state == "broken" for outcome in outcomes):
        sys.exit(BROKEN)


def _say(outcome: Outcome) -> None:
    measures = outcome.record.measures
    click.echo(f"{outcome.state:8}{outcome.fault.name}: {outcome.fault.title}")
    if outcome.state == "not run":
        click.echo(f"        {outcome.broken[0]}")
        return
    for told in outcome.broken:
        click.echo(f"        broken: {told}")
    shown = ", ".join(f"{name} {figure(value)}" for name, value in measures.items() if abs(value) < float("inf"))
    click.echo(f"        {shown}")
