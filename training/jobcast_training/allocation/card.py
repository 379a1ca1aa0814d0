"""The model card of a predictor of an amount: data, figures beside the request, how to use it, whom to thank."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobcast_training.allocation.declaration import HOURS
from jobcast_training.allocation.scores import REQUEST, ROWS, censored_note, request_scores
from jobcast_training.card import number

if TYPE_CHECKING:
    from jobcast_training.allocation.pipeline import Result, Trained

ACKNOWLEDGEMENTS = {
    "builds-2025": "Build telemetry of SAPResourceOptimizer (Zmart64/SAPResourceOptimizer), Apache-2.0 licence.",
    "chipseq": "Traces of Bader et al., Sizey (IEEE CLUSTER 2024), dos-group/sizey; it states no licence.",
    "rnaseq": "Traces of Bader et al., Sizey (IEEE CLUSTER 2024), dos-group/sizey; it states no licence.",
    "runs-until-2021": "Tool runs published by the Galaxy Europe server (anuprulez/tool-resource-prediction).",
}
"""Whom to thank for records, by a part of their source's name."""


def allocation_card(result: "Result", trained: "Trained", about: Mapping[str, Any]) -> str:
    """Return the card as Markdown; `{version}` stands for the version that export gives."""
    predictor, data, told = result.predictor, about["training_data"], about["allocation"]
    thanks = [text for key, text in ACKNOWLEDGEMENTS.items() if key in data["source"]]
    left_out = ", ".join(f"{rows:,} {why}" for why, rows in data["rejected"].items()) or "nothing"
    outcomes = result.test_outcomes(trained)
    name, asked = next(iter(request_scores(outcomes, result.plan.objective).items()), (REQUEST, {}))
    lines = [
        f"# {about['predictor']}, version {{version}}",
        "",
        f"{predictor.title} in {predictor.unit}, with a recommended allocation. {about['model_type'].capitalize()}.",
        "",
        "## Data",
        "",
        f"`{data['source']}`, {data['start']} to {data['end']}, in order of time: {data['rows']:,} records to fit to "
        f"(the later {data['calibration_rows']:,} of them also predicted by fits to what came before, for weights and "
        f"calibration), the last {data['test_rows']:,} for the test below. Left out: {left_out}.",
        *(f"\n- {note}" for note in result.records.notes),
        "",
        "## Test period",
        "",
        f"| figure | this model | {'as requested' if name == REQUEST else name} |",
        "|---|---:|---:|",
    ]
    for key, title in ROWS:
        if key not in trained.test_scores:
            continue
        own = number(trained.test_scores[key])
        requested = number(asked[key]) if key in asked else "-"
        lines.append(
            f"| {title.format(unit=predictor.unit, weight=result.plan.objective.weight)} | {own} | {requested} |"
        )
    lines += [
        *_assumed(result),
        *(f"\n{note}" for note in censored_note(outcomes, predictor.unit)),
        "",
        "## Allocation",
        "",
        f"{_rule(trained, told, predictor.unit)}{_safety(result.plan.objective.safety_factor)} "
        f"{_promise(told, result.plan.objective.confidence)}",
        "",
        "## Use and limits",
        "",
        f"Give `{predictor.histories[0].name}`: without what like jobs needed lately the model has only the record to "
        "go by. Names never seen in training count as unknown. Calibration is exact only for jobs like those it was "
        "made on. "
        f"Retrain on your own records before you rely on it: `jobcast train {predictor.name} --data YOUR_RECORDS`.",
        "",
        "## Acknowledgements",
        "",
        *(thanks or ["None asked for."]),
        "",
    ]
    return "\n".join(lines)


def _assumed(result: "Result") -> list[str]:
    hours = result.records.frame[HOURS][result.split :]
    unknown = hours.null_count()
    if not unknown:
        return []
    return ["", f"How long {unknown:,} of {len(hours):,} jobs ran is not known: each counts as 1 hour."]


def _rule(trained: "Trained", told: Mapping[str, Any], unit: str) -> str:
    confidence = trained.decided.rule.confidence
    if confidence is not None:
        return (
            "`allocation` is the upper edge of the first memory bin at which the probability that a job needs no more "
            f"reaches {confidence:g}."
        )
    return (
        f"`allocation` is the quantile of each record that costs least by the {told['objective']}: "
        f"{told['waste_per_gib']:.4g} for a {unit} allocated in vain, {told['failed_per_job']:.4g} for a job that is "
        f"allocated too little, {told['failed_per_gib']:.4g} for every {unit} that it had been allocated."
    )


def _safety(factor: float) -> str:
    return "" if factor == 1 else f" A safety factor of {factor:g} is on top of everything."


def _promise(told: Mapping[str, Any], confidence: float) -> str:
    if told["capped"]:
        return "It is never more than the request, where there is one."
    if told["under_share_target"] is None:
        return (
            "How many jobs need more is not bounded: nothing of the kind was asked for, the jobs are too few, or a "
            "safety factor below 1 leaves too many of them short."
        )
    return (
        f"It was shifted so that, with {100 * confidence:g} % confidence, at most "
        f"{100 * told['under_share_target']:.3g} % of jobs like those of the calibration need more."
    )
