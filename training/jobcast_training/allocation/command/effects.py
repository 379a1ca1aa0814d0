"""Which options have an effect beside which others: one that has none is refused by both names, never ignored."""

from collections.abc import Sequence

import click

from jobcast_training.allocation.command.asked import Asked, Judging
from jobcast_training.allocation.deciding import BUSINESS, WASTAGE

_FLAGS = {"run_folder": "--run", "as_json": "--json", "save_models": "--no-save-models", "report": "--no-report"}

_SEARCH = ("trials", "timeout", "jobs", "storage")
_READS = ("data", "format", "mapping", "assumed_hours", "name", "skip_preprocessing")
_PRICES = ("failed_cost", "wasted_cost", "failed_job_cost")
_JUDGED_BY = ("objective", "failure_weight", *_PRICES, "failure_share", "retry_factor")
_JUDGES = frozenset((*_READS, *_JUDGED_BY, "out", "evaluate_only", "as_json"))


def flag(name: str) -> str:
    """Return how an option is written on the command line."""
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def refuse_idle_prices(asked: Judging) -> None:
    """Refuse what has no effect with the objective; raises UsageError."""
    if asked.objective == BUSINESS:
        _refuse(asked, _PRICES, f"with --objective {BUSINESS}")
    if asked.objective == WASTAGE:
        _refuse(asked, ("failure_weight",), f"with --objective {WASTAGE}")
        if not (asked.failed_cost or asked.wasted_cost or asked.failed_job_cost):
            raise click.UsageError(
                "--failed-cost, --wasted-cost and --failed-job-cost: one must be above 0, got 0 for all: nothing would "
                "cost anything"
            )


def refuse_idle(asked: Asked) -> None:
    """Refuse what has no effect whatever the models are; raises UsageError."""
    refuse_idle_prices(asked)
    if asked.evaluate_only is not None:
        _refuse(asked, sorted(asked.given - _JUDGES), "with --evaluate-only, which trains nothing")
        if asked.evaluate_only:
            _refuse(asked, ["out"], f"with --evaluate-only {asked.evaluate_only}, which names the model")
        return
    if not asked.run_search:
        _refuse(asked, _SEARCH, "without --run-search")
    if asked.use_defaults:
        _refuse(asked, (*_SEARCH, "config"), "with --use-defaults, which trains with the defaults")
    if asked.objective == WASTAGE and asked.max_under is None and asked.preset is None:
        _refuse(asked, ("promise",), f"with --objective {WASTAGE} and no --max-under to promise")
    if asked.preset is not None:
        _refuse(asked, ("max_under",), f"with --preset {asked.preset}, which has a bound of its own")
    if not asked.save_models:
        _refuse(asked, ("out",), "with --no-save-models")
        if not asked.report and not asked.searching:
            _refuse(asked, ("run_folder",), "with --no-save-models and --no-report, as nothing is written")


def refuse_idle_for(asked: Asked, members: Sequence[str]) -> None:
    """Refuse what has no effect on these models, such as `xgboost_regression`; raises UsageError."""
    regressions = [name for name in members if name.endswith("_regression")]
    if len(regressions) == len(members):
        said = f"with --task-type {asked.task_type}" if asked.task_type else f"with regressions ({', '.join(members)})"
        _refuse(asked, ("bins", "strategy", "confidence_threshold"), f"{said}; it is for --task-type classification")
    if len(regressions) < 2:
        named = "--model-families" if asked.words else "--task-type"
        _refuse(asked, ("ensemble",), f"with this {named}: it needs two regressions, these are {', '.join(members)}")


def _refuse(asked: Judging, names: Sequence[str], why: str) -> None:
    idle = [flag(name) for name in names if name in asked.given]
    if idle:
        verb = "has" if len(idle) == 1 else "have"
        raise click.UsageError(f"{', '.join(idle)} {verb} no effect {why}; leave it out")
