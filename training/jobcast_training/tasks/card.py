"""The model card of `llm-latency`: what it was trained on, how well it does, whom to thank, where it does not apply."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobcast_training.tasks.records import TEXTS, TaskRecords
from jobcast_training.tasks.scores import ROWS

if TYPE_CHECKING:
    from jobcast_training.tasks.pipeline import Model

ACKNOWLEDGEMENTS = {
    "llm-splitwise-perf": "Splitwise (Patel et al., ISCA 2024), Mutinifni/splitwise-sim, MIT licence.",
    "llm-inference-bench": "LLM-Inference-Bench (Chitty-Venkata et al., 2024), argonne-lcf/LLM-Inference-Bench, BSD "
    "3-Clause licence; measured with resources of the Argonne Leadership Computing Facility.",
    "llm-vllm-serving-405b": "Llama 3.1 405B serving benchmark, dstackai/benchmarks, Apache-2.0 licence.",
    "llm-swarmpilot-h20": "SwarmPilot samples, Chivier/SwarmPilot; the repository states no licence.",
    "genai-image-requests": "GenAI trace of alibaba/clusterdata, for research or study only.",
}
"""Whom to thank for a set, with its licence."""


def task_card(about: Mapping[str, Any], model: "Model", records: TaskRecords) -> str:
    """Return the card as Markdown; `{version}` stands for the version that export gives."""
    data, scores, words = about["training_data"], model.scores, model.fit.known.words
    thanks = [text for key, text in ACKNOWLEDGEMENTS.items() if key in data["source"]]
    key = about["task_key"]
    lines = [
        f"# {about['predictor']}, version {{version}}",
        "",
        "Execution time in ms of language, image and video tasks. "
        f"{about['model_type'].capitalize()}; mean weights: "
        + ", ".join(f"{name} {weight:.2f}" for name, weight in about_weights(model).items())
        + ".",
        "",
        *([f"For one key only: {' / '.join(key.values())}.", ""] if key else []),
        "## Data",
        "",
        f"`{data['source']}`: {data['rows']:,} measured tasks or batches. "
        "Left out: " + (", ".join(f"{n:,} {why}" for why, n in data["rejected"].items()) or "nothing") + ".",
        "",
        "| field | seen in training |",
        "|---|---|",
    ]
    for field in TEXTS:
        seen = words.values[field][: words.seen[field]]
        more = f" and {len(seen) - 30} more" if len(seen) > 30 else ""
        lines.append(f"| {field} | {', '.join(seen[:30]) or '(not given)'}{more} |")
    lines += [
        "",
        "## Accuracy",
        "",
        "Cross-fit over rows: each row is predicted by a model that did not see it, calibrated on the other "
        "folds. Rows of one configuration lie in several folds, so this is accuracy on configurations like those seen; "
        "`docs/llm-latency.md` has whole machines and other names left out.",
        "",
        "| metric | this model |",
        "|---|---:|",
        *(f"| {title} | {figure(scores[name])} |" for name, title in ROWS),
        "",
        "## Use and limits",
        "",
        "The output `outside` counts the facts of a request that lie outside what training saw: a text never seen, a "
        "number beyond the seen range by more than a quarter, hardware whose figures resemble no seen accelerator. "
        f"{_outside(bool(key))} Times of other software versions, "
        "drivers or clock settings differ: train on your own traces before you rely on it (`jobcast train llm-latency "
        "--data traces.json --key type/name/hardware/software/version`).",
        "",
        "## Acknowledgements",
        "",
        *([f"- {text}" for text in thanks] or ["None asked for."]),
        "",
    ]
    return "\n".join(lines)


def _outside(one_key: bool) -> str:
    if one_key:
        return (
            "The records of one key do not tell how far an estimate is off there: the interval is then as wide as "
            "inside, which is too narrow, and no promise."
        )
    return "The interval is then that of names left out in training, wider, and no promise."


def about_weights(model: "Model") -> Mapping[str, float]:
    """Weights of the families that are in the graph, the mean over the trained levels."""
    return {name: float(weight.mean()) for name, weight in model.weights.items() if weight.any()}


def figure(value: float) -> str:
    """Return a figure with three significant digits or thousands separators, - for one that is not defined."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
