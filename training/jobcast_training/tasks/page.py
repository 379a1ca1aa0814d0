"""The measured part of the page on `llm-latency`: one section for each set, replaced when it is measured again."""

from collections.abc import Sequence
from pathlib import Path

from jobcast_training.tasks.card import figure
from jobcast_training.tasks.evaluation import Outcome

COLUMNS = (
    ("mae", "MAE"),
    ("median_ae", "MedAE"),
    ("r2_log", "R2log"),
    ("pinball_10", "pin10"),
    ("pinball_50", "pin50"),
    ("pinball_90", "pin90"),
    ("coverage_80", "cover80"),
    ("below_90", "<=q90"),
    ("under_predicted", "under"),
)
_MOST_NAME = 60


def section(title: str, rows: int, outcomes: Sequence[Outcome]) -> str:
    """Return a set's section as Markdown."""
    lines = [f"### {title}", "", f"{rows:,} rows, ms."]
    for outcome in outcomes:
        parts = f" in {outcome.parts} parts" if outcome.parts > 1 else ""
        lines += [
            "",
            f"**{outcome.split}** ({outcome.rows:,} test rows{parts}; said to lie outside: {outcome.outside:.1%})",
            "",
            "| predictor | " + " | ".join(title for _, title in COLUMNS) + " |",
            "|---|" + "---:|" * len(COLUMNS),
        ]
        for name, scores in outcome.scores.items():
            cells = [figure(scores[key]) if key in scores else "-" for key, _ in COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        if outcome.parts > 1:
            lines += ["", "| left out | rows | said to lie outside | MAE | cover80 |", "|---|---:|---:|---:|---:|"]
            for name, count, outside, mae, cover in outcome.by_part:
                short = name if len(name) <= _MOST_NAME else name[: _MOST_NAME - 3] + "..."
                lines.append(f"| {short} | {count:,} | {outside:.1%} | {figure(mae)} | {cover:.2f} |")
    return "\n".join([*lines, ""])


def write_section(page: Path, title: str, text: str) -> None:
    """Put a section in the place of the one of its title, or at the end of the page."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    head = f"### {title}\n"
    if head not in before:
        page.write_text(before.rstrip("\n") + ("\n\n" if before else "") + text, encoding="utf-8")
        return
    start = before.index(head)
    ends = [before.find(mark, start + 1) for mark in ("\n### ", "\n## ")]
    end = min([place + 1 for place in ends if place >= 0], default=len(before))
    rest = before[end:]
    page.write_text(before[:start] + text + ("\n" + rest if rest else ""), encoding="utf-8")
