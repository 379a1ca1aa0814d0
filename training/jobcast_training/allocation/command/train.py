"""`jobcast train` of a predictor of an amount: from raw records to a verified bundle and a report."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobcast_training.allocation import catalogue
from jobcast_training.allocation.command import figures
from jobcast_training.allocation.command.asked import Asked
from jobcast_training.allocation.command.bundles import version_folder
from jobcast_training.allocation.command.effects import refuse_idle, refuse_idle_for
from jobcast_training.allocation.command.options import (
    GroupedCommand,
    json_option,
    judging_options,
    model_options,
    output_options,
    record_options,
    rule_options,
    search_options,
)
from jobcast_training.allocation.command.planning import judged_by, members_of, plan_of, unused_tables
from jobcast_training.allocation.command.reading import tell_records
from jobcast_training.allocation.command.searching import Search
from jobcast_training.allocation.command.writing import (
    PARAMETERS,
    refuse_used,
    write_models,
    write_page,
)
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.pipeline import Plan, Result, Trained, preferred, steps
from jobcast_training.allocation.pipeline import train as trained
from jobcast_training.allocation.records import AllocationRecords
from jobcast_training.allocation.search import loss
from jobcast_training.command.console import wide_console
from jobcast_training.writable import refuse_unwritable


def train_command(name: str) -> click.Command:
    """Return the command that trains this predictor."""

    @click.command(name, cls=GroupedCommand, help=f"Train {name} on raw records, export the best model, report on all.")
    @record_options
    @model_options
    @judging_options
    @rule_options
    @search_options
    @output_options
    @json_option
    @click.pass_context
    def train(ctx: click.Context, /, **_: Any) -> None:
        asked = Asked.of(ctx)
        refuse_idle(asked)
        try:
            predictor = catalogue.load(name)
            if asked.evaluate_only is not None:
                _judge(predictor, asked)
            else:
                _train(predictor, asked)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error

    command: click.Command = train
    return command


def _judge(predictor: Predictor, asked: Asked) -> None:
    from jobcast_training.allocation.command.judgement import tell_judgement

    model = version_folder(Path(asked.evaluate_only) if asked.evaluate_only else asked.out / predictor.name)
    records = _read(wide_console(), predictor, asked)
    tell_judgement(predictor, records, model, judged_by(asked), as_json=asked.as_json)


def _train(predictor: Predictor, asked: Asked) -> None:
    start = time.perf_counter()
    console = wide_console()
    members = members_of(asked)
    refuse_idle_for(asked, members)
    plan = plan_of(asked, members)
    search = Search.of(asked) if asked.searching else None
    run = asked.run_folder or Path("runs") / f"{predictor.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    refuse_used(run, searching=asked.searching)
    if asked.save_models or asked.report or search:
        refuse_unwritable("--run", run)
    if asked.save_models:
        refuse_unwritable("--out", asked.out)
    records = _read(console, predictor, asked)
    for table in unused_tables(asked, plan):
        console.print(f"note: [{table}] of {asked.config} is of no model of this run", markup=False)
    if search:
        plan = search.run(console, predictor, records, plan, asked.seed, run / PARAMETERS)
    result = _fitted(console, predictor, records, plan, asked.seed)
    _tell(console, result, asked, run, start)


def _read(console: Console, predictor: Predictor, asked: Asked) -> AllocationRecords:
    records = asked.records.read(predictor)
    tell_records(console, predictor, records)
    return records


def _fitted(console: Console, predictor: Predictor, records: AllocationRecords, plan: Plan, seed: int) -> Result:
    """Train with a bar of the fitted members."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[said]}"), console=console) as bars:
        bar = bars.add_task("training", total=steps(plan, records.frame.height), said="")
        made: list[Trained] = []

        def told(model: Trained) -> None:
            made.append(model)
            least = preferred(made)
            said = f"{loss.title(plan.objective)} of {model.name} {model.decided.loss:.5g}"
            bars.update(bar, said=f"{said}; best so far {least.decided.loss:.5g}, {least.name}")

        return trained(
            predictor,
            records,
            plan,
            seed=seed,
            step=lambda name: bars.update(bar, advance=1, said=f"fitted {name}"),
            on_model=told,
        )


def _tell(console: Console, result: Result, asked: Asked, run: Path, start: float) -> None:
    """Write what the run is asked to write, and say what it came to."""
    from jobcast_training.allocation.reporting import report_of

    found = figures.rows(result)
    title = "test period: the last jobs in order of time, which nothing was chosen by"
    console.print(figures.table(title, result.predictor.unit, found))
    remarks = figures.remarks(result)
    for line in (figures.choice(result), *remarks):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    bundle = page = None
    if asked.save_models:
        bundle = write_models(result, run, asked.out, lambda one: console.print(f"{one.name}: parity proved"))
    if asked.report:
        page = write_page(report_of(result), run)
        console.print(f"report in {page}")
    if asked.as_json:
        best = result.best
        told = {
            "status": "success",
            "model": best.name,
            "rule": best.decided.name,
            "bundle": bundle and str(bundle),
            "report": page and str(page),
            "run": str(run),
            "rows": result.records.frame.height,
            "rejected": dict(result.records.rejected),
            "notes": remarks,
            "metrics": {name: figures.plain(own) for name, own in found.items()},
            "duration_seconds": round(time.perf_counter() - start, 3),
        }
        click.echo(json.dumps(told))
    elif bundle:
        size = (bundle / "model.onnx").stat().st_size / 1e6
        click.echo(f"{bundle}: {result.best.name}, model.onnx {size:.2f} MB, parity proved")
    else:
        click.echo(f"{result.best.name} is best; no model was saved")
