"""Requests for the time of one task over REST, made from the golden rows of a bundle of `llm-latency`.

An answer is right when its median has the very value that the graph gives for that row alone in plain onnxruntime.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jobcast_proto.manifest import GoldenRows, Manifest

from jobcast_bench.answers import Check
from jobcast_bench.http1 import post
from jobcast_bench.inprocess import session

PREDICTOR = "llm-latency"
VARIANTS = 512
CONFIDENCE = 0.95
MEDIAN = 0.5
IDENTITY = ("model_type", "model_name", "hardware", "software_name", "software_version")

Row = dict[str, Any]


def _rows(bundle: Path, seed: int) -> list[Row]:
    """Golden rows whose numbers are moved by up to a tenth, so that no two requests are the same."""
    golden = GoldenRows.model_validate_json((bundle / "golden.json").read_bytes())
    random = np.random.default_rng(seed)
    count = len(next(iter(golden.inputs.values())))
    rows = []
    for index in range(VARIANTS):
        row = {name: values[index % count] for name, values in golden.inputs.items()}
        for name, value in row.items():
            if isinstance(value, float | int):
                row[name] = round(value * random.uniform(0.9, 1.0), 3)
        rows.append(row)
    return rows


@lru_cache(maxsize=2)
def task_requests(bundle: Path, seed: int, host: str) -> tuple[bytes, ...]:
    """HTTP messages, one task each; a field that the row leaves open is `any` in the path."""
    made = []
    for row in _rows(bundle, seed):
        path = "/".join(quote(row.get(name) or "any", safe="") for name in IDENTITY)
        features = {name: value for name, value in row.items() if name not in IDENTITY and value is not None}
        body = json.dumps({"trace": {"input_feature": features}, "confidence_level": CONFIDENCE}, separators=(",", ":"))
        made.append(post(host, f"/predict/single/{path}", body.encode()))
    return tuple(made)


@lru_cache(maxsize=2)
def expected(bundle: Path, seed: int, host: str) -> dict[bytes, float]:
    """The median of each request, in ms."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    place, graph = manifest.quantile_levels.index(MEDIAN), session(bundle)
    medians = {}
    for request, row in zip(task_requests(bundle, seed, host), _rows(bundle, seed), strict=True):
        feeds = {}
        for spec in manifest.inputs:
            value = row[spec.name]
            if spec.type == "string":
                feeds[spec.name] = np.array([[value or "any"]], object)
            else:
                feeds[spec.name] = np.array([[np.nan if value is None else value]])
        quantiles = np.maximum.accumulate(graph.run(["quantiles"], feeds)[0][0])
        medians[request] = float(max(quantiles[place], 0))
    return medians


def check_task(bundle: Path, seed: int, host: str, exact: bool) -> Check:
    """A check of answers; with `exact`, the median must be the graph's."""

    def check(request: bytes, answer: bytes) -> str | None:
        try:
            told = json.loads(answer)["results"]
            found, status = told["quantile_predictions"], told["status"]
            median = found[told["quantiles"].index(MEDIAN)]
        except (ValueError, KeyError, TypeError) as error:
            return f"no answer with a median: {error!r}"
        if status != "success" or found != sorted(found):
            return f"status {status}, quantile_predictions {found}"
        wanted = expected(bundle, seed, host)[request]
        return f"median: {median} is not the graph's {wanted}" if exact and median != wanted else None

    return check
