"""The options of the commands, group by group; the default of each is here or, where it depends, in its help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jobcast_training.allocation.deciding import BUSINESS, OBJECTIVES
from jobcast_training.allocation.pareto import BALANCED, LOW_UNDER, LOW_WASTE
from jobcast_training.allocation.settings import STRATEGIES
from jobcast_training.allocation.sources import FORMATS
from jobcast_training.command.choice import Choice
from jobcast_training.command.finite import Finite
from jobcast_training.families import TASK_TYPES

COMBINATIONS = ("weighted", "max")
PRESETS = (BALANCED, LOW_WASTE, LOW_UNDER)
TRIALS, MOST_UNDER = 50, 3.0

F = TypeVar("F", bound=Callable[..., Any])

_AT_LEAST_0 = Finite(min=0)
_PRICE = Finite(0, 1e9)
_HOURS, _FACTOR = Finite(0, 1e6), Finite(0, 1000, min_open=True)
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class Grouped(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, group: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(one, "group", "Help"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class CommaSeparated(click.ParamType[tuple[str, ...]]):
    """Words between commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words; fails where there is none."""
        words = tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not words:
            self.fail(f"expected one name or more, separated by commas, got {value!r}", param, ctx)
        return words


def _option(group: str, *names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, cls=Grouped, group=group, **more)


def _applied(command: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


_R = "Records"


def record_options(command: F) -> F:
    """Give a command the options that name records."""
    return _applied(
        command,
        (
            _option(_R, "--data", required=True, multiple=True, metavar="FILE", type=click.Path(path_type=Path),
                    help="File of raw records; repeat it for the parts of one set."),
            _option(_R, "--format", default="auto", show_default=True, type=Choice(FORMATS, "format"),
                    help="What the files are."),
            _option(_R, "--mapping", metavar="FILE", type=_FILE,
                    help='TOML file of lines `column = "name"`: what the columns of the files are called here.'),
            _option(_R, "--assumed-hours", metavar="HOURS", type=_HOURS,
                    help="From a record's time to its end, where the files do not say when a job ended."),
            _option(_R, "--name", help="Name of the data in manifest, card and report.  [default: the file names]"),
            _option(_R, "--skip-preprocessing", is_flag=True,
                    help="Take the records as the last run read them from the same files by the same options."),
        ),
    )  # fmt: skip


_M = "Models"


def model_options(command: F) -> F:
    """Give a command the options that say which models are trained."""
    return _applied(
        command,
        (
            _option(_M, "--task-type", type=Choice(TASK_TYPES, "task type"),
                    help="Quantiles of the amount, or bins of it.  [default: regression, but for a family named "
                    "with its task]"),
            _option(_M, "--model-families", metavar="NAMES", multiple=True, type=CommaSeparated(),
                    help="Families such as xgboost, or xgboost_regression with the task; repeat it or separate them "
                    "by commas.  [default: xgboost, lightgbm and catboost, of a classification all that can]"),
            _option(_M, "--ensemble", default="weighted", show_default=True, type=Choice(COMBINATIONS, "ensemble"),
                    help="What two or more regressions are together: a weighted mean of each quantile, or the most."),
            _option(_M, "--bins", metavar="COUNT", type=click.IntRange(2, 1000),
                    help="Bins of a classification, the open one at the top included.  [default: 15]"),
            _option(_M, "--strategy", type=Choice(STRATEGIES, "strategy"),
                    help="How the bins are laid.  [default: quantile]"),
            _option(_M, "--config", metavar="FILE", type=_FILE,
                    help="TOML file of hyper-parameters, one table such as [xgboost_regression] a model; a search "
                    "writes one."),
            _option(_M, "--seed", default=1, show_default=True, type=click.IntRange(min=0),
                    help="Of everything random."),
        ),
    )  # fmt: skip


_A = "Allocation"


def judging_options(command: F) -> F:
    """Give a command the options by which allocations are judged, whoever made them."""
    return _applied(
        command,
        (
            _option(_A, "--objective", default=BUSINESS, show_default=True, type=Choice(OBJECTIVES, "objective"),
                    help="failure weight x under % + over %, or the cost of GiB-hours with retries."),
            _option(_A, "--failure-weight", default=5.0, show_default=True, metavar="PERCENT", type=_PRICE,
                    help="How many percent of over-allocation one percent of under-allocated jobs counts "
                    "(business-score)."),
            _option(_A, "--failed-cost", default=1.0, show_default=True, metavar="PRICE", type=_PRICE,
                    help="Of a GiB-hour that a failed run held (gib-hours)."),
            _option(_A, "--wasted-cost", default=1.0, show_default=True, metavar="PRICE", type=_PRICE,
                    help="Of a GiB-hour held and not used (gib-hours)."),
            _option(_A, "--failed-job-cost", default=0.0, show_default=True, metavar="PRICE", type=_PRICE,
                    help="Of each failure besides (gib-hours)."),
            _option(_A, "--failure-share", default=1.0, show_default=True, metavar="SHARE",
                    type=Finite(0, 1, min_open=True), help="Share of its run after which a job fails."),
            _option(_A, "--retry-factor", default=2.0, show_default=True, metavar="FACTOR",
                    type=Finite(1, 1000, min_open=True),
                    help="How many times as much a job that failed is allocated next."),
        ),
    )  # fmt: skip


def rule_options(command: F) -> F:
    """Give a command the options that say which allocations are wanted, besides those they are judged by."""
    return _applied(
        command,
        (
            _option(_A, "--max-under", metavar="PERCENT", type=Finite(0, 100, min_open=True, max_open=True),
                    help=f"Most under-allocated jobs.  [default: {MOST_UNDER:g} for {BUSINESS}, else no bound]"),
            _option(_A, "--promise", default=0.9, show_default=True, metavar="CONFIDENCE",
                    type=Finite(0, 1, min_open=True, max_open=True),
                    help="With which such a bound is kept by later jobs like those before."),
            _option(_A, "--preset", type=Choice(PRESETS, "preset"),
                    help="A setting of the Pareto frontier.  [default: what costs least within the bound]"),
            _option(_A, "--safety-factor", default=1.0, show_default=True, metavar="FACTOR", type=_FACTOR,
                    help="That every allocation is multiplied by, on top of everything."),
            _option(_A, "--confidence-threshold", metavar="SHARE",
                    type=Finite(0, 1, min_open=True, max_open=True),
                    help="Probability up to which a classification takes bins.  [default: the bin that costs least]"),
        ),
    )  # fmt: skip


_S = "Search"


def search_options(command: F) -> F:
    """Give a command the options of a search for hyper-parameters."""
    return _applied(
        command,
        (
            _option(_S, "--run-search", "--search", "run_search", is_flag=True,
                    help="Search for hyper-parameters before training, which goes on with the best."),
            _option(_S, "--use-defaults", is_flag=True, help="No search, even with --run-search."),
            _option(_S, "--trials", default=TRIALS, show_default=True, type=click.IntRange(min=1),
                    help="Of each model in all, those of stopped runs included."),
            _option(_S, "--timeout", metavar="SECONDS", type=_AT_LEAST_0,
                    help="After which no trial begins, of all models together.  [default: none]"),
            _option(_S, "--jobs", default=1, show_default=True, type=click.IntRange(min=1),
                    help="Trials at a time, in processes."),
            _option(_S, "--storage", default="runs/search.db", show_default=True, metavar="FILE",
                    help="SQLite file or sqlite:///FILE that keeps the trials of stopped runs."),
        ),
    )  # fmt: skip


_O = "Output"


def output_options(command: F) -> F:
    """Give a command the options that say what a run writes."""
    return _applied(
        command,
        (
            _option(_O, "--out", default="models", show_default=True, type=_FOLDER,
                    help="Repository of bundles: gets the best model as the next version of the predictor."),
            _option(_O, "--run", "run_folder", type=_FOLDER,
                    help="Folder of this run: models, report, parameters found.  [default: runs/PREDICTOR-TIME]"),
            _option(_O, "--save-models/--no-save-models", default=True, show_default=True,
                    help="Write the best model to --out, and every model to the run's folder."),
            _option(_O, "--report/--no-report", default=True, show_default=True,
                    help="Write the report into the run's folder."),
            _option(_O, "--evaluate-only", is_flag=False, flag_value="", metavar="[MODEL]",
                    help="Train nothing; judge MODEL, or the latest version of the predictor in --out, on --data."),
        ),
    )  # fmt: skip


def json_option(command: F) -> F:
    """Give a command `--json`."""
    return _applied(command, (_option(_O, "--json", "as_json", is_flag=True, help="The last line as JSON."),))
