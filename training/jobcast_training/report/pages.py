"""The page of all logs: what is measured and how, one line a log, then a section for each."""

from collections.abc import Mapping, Sequence

from jobcast_training.card import ACKNOWLEDGEMENTS, number
from jobcast_training.report.ablation import FIT_JOBS, ROUNDS
from jobcast_training.report.figures import BASELINE_SEED
from jobcast_training.report.run import LogFigures
from jobcast_training.report.sections import section
from jobcast_training.report.spread import AIM, LOSSES, compared, metric

_TITLES = {"mae": "MAE", "pinball_50": "pinball 0.5", "pinball_90": "pinball 0.9"}

_READING = f"""## How to read this

Every log is split in order of submission; the last jobs are the test period and are predicted by the served
graph itself, with what was known when each was submitted. The models are not refitted during the test. Nothing
was chosen on a test period. Run times are in seconds.

- **Seeds.** The whole training is repeated with each seed. `jobcast` stands for the median over the seeds, the
  least and the greatest beside it. Tables by month, queue and tenth, and all pictures, are those of seed 1.
- **Losses** compare with the run time as observed. `min / max` is the mean of min(p, a) / max(p, a) of the
  predicted and the actual run time, 1 at best; `under-predicted` the share of jobs that ran longer than
  predicted.
- **Coverage.** Where limits hold, no prediction exceeds them, and coverage counts a run time up to its limit; a
  job that ran over it is never covered as observed. The tables by part count up to the limit, those beside
  baselines as observed.
- **Calibration** is exact for jobs like those of the calibration period; how far the test period drifts away is
  what the figures show. `jobcast evaluate --rolling` walks a log with refits and calibration that goes on.
- **By predicted and by actual run time.** Tenths of the predicted median are known at submission: a calibrated
  predictor covers each as promised. Tenths of the actual run time are picked by the outcome: the longest jobs
  are those that ran longer than anyone had reason to expect, so no predictor is even there; the table shows
  where the misses are.
- **`recent_runtimes` only** is what the contract `rtpredictor.v1` can name; `jobcast` is asked with every
  history input.
- **Baselines**, all on the same test jobs and with what had ended at each submission: the requested time
  (unknown: the median run time); the median of the training jobs; the mean of the user's last two (Tsafrir,
  Etsion and Feitelson, 2007), at most the limit; the median of all the user's ended jobs; LightGBM, fitted to
  L1 and to three quantiles, with plain features (request, names as categories, hour, weekday, last two run
  times) and with rich ones (the user's running quantiles, count and time since, the last two of the same
  request and of the same job name). A baseline that gives a point only is that point at every level. Seed
  {BASELINE_SEED}. The best of them is taken figure by figure.
- **Features.** Each group is left out in turn and LightGBM alone fitted anew, {ROUNDS} rounds of 31 leaves for
  the median and the 0.9 quantile, to the newest {FIT_JOBS:,} jobs at most: cheaper than a training, without
  calibration, cap or chance. Beside each figure its change from that with all features; groups that say the
  same stand in for each other. A run time divided by the limit belongs to its history. A test period is one
  sample: on KTH a seed alone moves the 0.9 loss of the LightGBM baseline by 15 %, so small changes of it say
  little."""


def page(logs: Sequence[LogFigures], unscored: Mapping[str, str], command: str, pictures: str) -> str:
    """Return the page as Markdown.

    Args:
        logs: figures of every log that was scored.
        unscored: by name of a log, why it was not.
        command: what made the page.
        pictures: folder of the pictures as the page links to it.
    """
    lines = [
        "# Accuracy on job logs",
        "",
        f"Made by `{command}`. Each line is one log: trained on its first jobs, tested on its last. Losses with the "
        "least and the greatest of the seeds, and their ratio to the best baseline on the same jobs.",
        "",
        *_overview(logs),
        "",
        *_counted(logs),
        "",
        *([f"![nominal level against observed share]({pictures}/reliability.png)", ""] if logs else []),
        *_READING.splitlines(),
    ]
    if unscored:
        lines += ["", "## Not scored", "", *(f"- **{name}**: {reason}" for name, reason in unscored.items())]
    for one in logs:
        lines += ["", *section(one, pictures)]
    thanks = [text for key, text in ACKNOWLEDGEMENTS.items() if any(key in one.name for one in logs)]
    if thanks:
        source = "They come from the Parallel Workloads Archive (D. Feitelson, D. Tsafrir, D. Krakov)."
        lines += ["", "## Thanks for the logs", "", " ".join([*thanks, source])]
    return "\n".join([*lines, ""])


def _overview(logs: Sequence[LogFigures]) -> list[str]:
    titles = ["log", "test jobs"]
    for loss in LOSSES:
        titles += [f"{_TITLES[loss]}, s", "best baseline", "ratio"]
    titles += ["in 0.1 to 0.9", "<= 0.9", "in the interval", "limit held"]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    for one in logs:
        cells = [one.name, f"{one.test_jobs:,}"]
        for loss in LOSSES:
            found = compared(one, loss)
            cells += [found.own.text(), f"{number(found.other)} ({found.best})", f"{found.ratio:.2f}"]
        cells += [metric(one, name, "covered").text(3) for name in ("inside_80", "below_90", "interval", "limit")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _counted(logs: Sequence[LogFigures]) -> list[str]:
    """How many logs are clearly better, and how many no worse, loss by loss."""
    lines = []
    for loss in LOSSES:
        ratios = [compared(one, loss).ratio for one in logs]
        clearly, no_worse = (sum(ratio <= bound for ratio in ratios) for bound in (AIM, 1.0))
        lines.append(
            f"- {_TITLES[loss]}: at least {100 - AIM * 100:.0f} % below the best baseline on {clearly} of {len(logs)} "
            f"logs, no higher on {no_worse}."
        )
    return lines
