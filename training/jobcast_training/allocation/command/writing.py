"""What a run writes: bundles of its models, and its report."""

from collections.abc import Callable
from pathlib import Path

from jobcast_export.allocation import export_allocation

from jobcast_training.allocation.pipeline import Result, Trained
from jobcast_training.allocation.report.inputs import Report
from jobcast_training.allocation.report.page import write_report

MODELS, REPORT, PARAMETERS = "models", "report", "parameters.toml"


class RunError(ValueError):
    """The folder of a run cannot be used."""


def refuse_used(folder: Path, *, searching: bool) -> None:
    """Refuse a folder that holds what another run wrote; raises RunError."""
    for name in (MODELS, REPORT, *([PARAMETERS] if searching else ())):
        if (folder / name).exists():
            raise RunError(f"--run {folder}: holds the {name} of another run; name another folder")


def write_models(result: Result, run: Path, out: Path, told: Callable[[Trained], None]) -> Path:
    """Write every model into the run's folder and the best into the repository; return the folder of its version.

    Args:
        result: of training.
        run: folder of the run.
        out: repository.
        told: hears of each written model.

    Raises:
        ParityError: the graph of a model does not equal its library.
        ValueError: a folder holds a version policy that cannot be read.
    """
    for one in result.models:
        export_allocation(result.candidate(one, bundle_name(one.name)), run / MODELS)
        told(one)
    return export_allocation(result.candidate(result.best, result.predictor.name), out)


def bundle_name(model: str) -> str:
    """Return the name of a model's bundle in the run's folder; names of bundles have no underscores."""
    return model.replace("_", "-")


def write_page(report: Report, run: Path) -> Path:
    """Write the report into the run's folder; return the path of its page."""
    return write_report(run / REPORT, report)
