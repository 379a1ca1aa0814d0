"""An existing model on records: judged, and told as a table or as JSON."""

import json
from pathlib import Path

import click

from jobcast_training.allocation.command.figures import plain, table
from jobcast_training.allocation.deciding import Objective
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.judging import judge
from jobcast_training.allocation.records import AllocationRecords
from jobcast_training.command.console import wide_console


def tell_judgement(
    predictor: Predictor, records: AllocationRecords, folder: Path, objective: Objective, *, as_json: bool
) -> None:
    """Judge a bundle on records and print what it comes to.

    Args:
        predictor: whose records they are.
        records: to judge on.
        folder: of a version of its bundle.
        objective: by which allocations are judged.
        as_json: whether the answer is one JSON object.

    Raises:
        RecordError: the folder is no bundle of this predictor.
    """
    judged = judge(folder, predictor, records, objective)
    rows = len(judged.allocated)
    found = {judged.name: judged.scores, **judged.others}
    for note in judged.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        told = {"model": str(folder), "rows": rows, "rejected": dict(records.rejected)}
        metrics = {name: plain(own) for name, own in found.items()}
        click.echo(json.dumps({"status": "success", **told, "metrics": metrics, "notes": judged.notes}))
        return
    wide_console(stderr=False).print(table(f"{rows:,} records of {records.source}", predictor.unit, found))
