"""`jobcast tune`: the best options for this machine and a bundle, with their evidence, as a file for the server."""

from pathlib import Path

import click
from rich.console import Console

from jobcast_bench import generator
from jobcast_bench.fleet import Cores
from jobcast_bench.guard import Finite, prepare
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.machine import machine
from jobcast_bench.process import ServerError
from jobcast_bench.tuning.candidates import START, performance_cores, providers, steps
from jobcast_bench.tuning.profile import render
from jobcast_bench.tuning.search import OBJECTIVES, Plan, Trial, search


@click.command(epilog="Exit codes: 0 the profile is written, 1 a server did not run, 2 wrong use.")
@click.argument("model", default="hpc-runtime")
@click.option("--models", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("models"),
              show_default=True, help="Repository of bundles.")  # fmt: skip
@click.option("--objective", type=click.Choice(sorted(OBJECTIVES)), default="balanced", show_default=True,
              help="What counts: p99 of a lone request, calls/s at saturation, rows/s of large requests.")  # fmt: skip
@click.option("--duration", type=Finite(0.1, 60), default=1.0, show_default=True, help="Seconds per window.")
@click.option("--repeats", type=click.IntRange(2, 20), default=5, show_default=True, help="Repeats of each trial.")
@click.option("--generator", "wanted", type=click.Choice(["jobcast-load", "python"]),
              help="Default: jobcast-load where it is built.")  # fmt: skip
@click.option("--option", "options", multiple=True, type=click.Choice(sorted(START)),
              help="Only this one; repeatable. The others are not in the profile.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("profile.toml"), show_default=True,
              help="Profile to write.")  # fmt: skip
@click.pass_context
def tune(
    ctx: click.Context, model: str, models: Path, objective: str, duration: float, repeats: int, wanted: str | None,
    options: tuple[str, ...], out: Path,
) -> None:  # fmt: skip
    """Measure which options suit this machine and MODEL, and write the best to a profile.

    Each value of an option runs beside the best so far: providers, threads (bounded by the performance cores), rows of
    a step, dynamic batching. `jobcast serve --config PROFILE` loads the result.
    """
    bundle = newest_bundle(models, model)
    if bundle is None:
        have = ", ".join(sorted(path.parent.parent.name for path in models.glob("*/*/manifest.json"))) or "none"
        raise click.UsageError(f"model: {model!r} is not in {models}; there are: {have}")
    every = steps(providers(), performance_cores())
    tried = [step for step in every if not options or step.option in options]
    if not tried:
        raise click.UsageError(f"--option {', '.join(options)}: there is but one value to take on this machine")
    start = {name: value for name, value in START.items() if not options or name in options}
    prepare(out.parent, None)
    console = Console(stderr=True)
    trials: list[Trial] = []
    try:
        plan = Plan(models, bundle, objective, duration, repeats, generator.choose(wanted))
        everywhere = Cores(None, None, performance_cores())  # server and load share the machine, as they will
        for trial in search(plan, everywhere, start, tried, console.print):
            trials.append(trial)
            console.print(_line(trial))
    except (ServerError, generator.GeneratorError) as error:
        console.print(f"jobcast tune: {error}")
        ctx.exit(1)
    best = {**start, **{trial.option: trial.value for trial in trials if trial.taken}}
    out.write_text(render(best, trials, plan, machine()), encoding="utf-8")
    click.echo(f"wrote {out}: {', '.join(f'{name} = {value}' for name, value in best.items())}")


def _line(trial: Trial) -> str:
    if trial.score is None:
        return f"  did not run: {trial.failure}"
    word = "taken" if trial.taken else "left"
    return f"  {trial.score.median:.2f} ({trial.score.low:.2f} to {trial.score.high:.2f}) of the best so far: {word}"
