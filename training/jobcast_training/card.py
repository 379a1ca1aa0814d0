"""Model cards: what a bundle was trained on, how well it did, whom to thank, where it does not apply."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_ARCHIVE = (
    "The log comes from the Parallel Workloads Archive (D. Feitelson, D. Tsafrir, D. Krakov); "
    "this model was trained on it, the log itself is not part of this repository."
)
ACKNOWLEDGEMENTS = {
    "sdsc-blue": "Travis Earheart and Nancy Wilkins-Diehr provided the SDSC Blue Horizon log.",
    "hpc2n": "Ake Sandgren provided the HPC2N log.",
    "ctc-sp2": "Dan Dwyer and Steve Hotovy provided the CTC SP2 log.",
    "sdsc-sp2": "Victor Hazlewood provided the SDSC SP2 log.",
    "kth-sp2": "Lars Malinowsky provided the KTH SP2 log.",
    "ricc": "Motoyoshi Kurokawa provided the RICC log.",
    "lanl-cm5": "Curt Canada provided the LANL CM5 log.",
    "sandia-ross": "Jon Stearley provided the Sandia Ross log.",
    "llnl-thunder": "Moe Jette provided the LLNL Thunder log.",
}
ROWS = (
    ("mae", "MAE, s"),
    ("median_ae", "median absolute error, s"),
    ("rmse", "RMSE, s"),
    ("r2_log", "R2 of log1p"),
    ("mape", "MAPE, % (run times under 1 s count as 1 s)"),
    ("under_predicted", "share under-predicted"),
    ("pinball_10", "pinball loss at 0.1, s"),
    ("pinball_50", "pinball loss at 0.5, s"),
    ("pinball_90", "pinball loss at 0.9, s"),
)
SPREAD = (
    ("coverage_interval", "95 % interval covers (run time up to its limit)"),
    ("coverage_interval_observed", "95 % interval covers (run time as observed)"),
    ("coverage_80", "10 to 90 % range covers"),
    ("limit_held", "suggested limit (0.95) held"),
    ("over_limit", "share of jobs that ran over their limit"),
    ("interval_width", "mean width of the 95 % interval, s"),
)


def model_card(
    about: Mapping[str, Any],
    weights: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    timezone: str,
    notes: Sequence[str],
) -> str:
    """Return the card as Markdown; `{version}` stands for the version that export gives."""
    data = about["training_data"]
    thanks = [text for key, text in ACKNOWLEDGEMENTS.items() if key in data["source"]]
    lines = [
        f"# {about['predictor']}, version {{version}}",
        "",
        f"Run time of batch jobs in seconds. {about['model_type'].capitalize()}; weights: "
        + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
        + ".",
        "",
        "## Data",
        "",
        f"`{data['source']}`, jobs submitted from {data['start']} to {data['end']}, split in order of submission: "
        f"{data['statistics_rows']:,} jobs for category statistics, {data['rows']:,} for the trees, then early "
        f"stopping, {data['calibration_rows']:,} for calibration, the last {data['test_rows']:,} for the test below. "
        f"Hours are local standard time ({timezone}).",
        "",
        "Left out: " + (", ".join(f"{n:,} {why}" for why, n in data["rejected"].items()) or "nothing") + ".",
        *([""] + [f"- {note}" for note in notes] if notes else []),
        "",
        "## Test period",
        "",
        "| metric | this model | " + " | ".join(baselines) + " |",
        "|---|" + "---:|" * (len(baselines) + 1),
    ]
    for key, title in ROWS:
        cells = [about["test"].get(key, math.nan), *(baseline[key] for baseline in baselines.values())]
        lines.append(f"| {title} | " + " | ".join(number(cell) for cell in cells) + " |")
    lines += ["", "| calibration | validation | test |", "|---|---:|---:|"]
    lines += [f"| {title} | {number(about['validation'][k])} | {number(about['test'][k])} |" for k, title in SPREAD]
    lines += [
        "",
        "No prediction exceeds the requested limit, so a job that ran over it, often by seconds, is never covered as "
        f"observed. Calibrated by {about['calibration']['method']}: exact at best for jobs like those of the "
        "calibration period; users' habits drift, and the test column shows by how much.",
        "",
        "## Use and limits",
        "",
        "Names of users, accounts and partitions of another machine are unknown to this model: it then goes by the "
        "request and by `recent_runtimes`. Retrain on your own log before you rely on it: `jobcast train "
        f"{about['predictor']} --data YOUR_LOG --out models`.",
        "",
        "## Acknowledgements",
        "",
        *([*thanks, _ARCHIVE] if thanks else ["None asked for."]),
        "",
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a figure with three or four significant digits and thousands separators, - for one that is not defined."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
