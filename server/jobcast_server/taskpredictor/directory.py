"""What GET /models and the metrics tell of models: bundles, tables, predictions and outcomes, by key."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from jobcast_server.taskpredictor.bundles import Bundles
from jobcast_server.taskpredictor.cache import Cache
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.ledger import Account, Ledger
from jobcast_server.taskpredictor.others import Counts
from jobcast_server.taskpredictor.tables import Tables

MOST_LABELS = 100
"""Keys that have series of their own, those used last; the predictions and outcomes of all others are one series."""

OTHER = "other"

GAUGES = (
    ("jobcast_task_error_ms", "Mean absolute error of the median over the window, in ms.", "mae_ms"),
    ("jobcast_task_error_share", "Median absolute error of the median as a share of the actual time.", "median_ape"),
    ("jobcast_task_coverage_80", "Share of outcomes inside the 80 % interval.", "coverage_80"),
    ("jobcast_task_drift", "1 when the log error has drifted from its own past.", "drift"),
    ("jobcast_task_drift_statistic", "CUSUM of the log error over its alarm level.", "drift_statistic"),
)


class Directory:
    """Reads from the owners at the moment of asking."""

    def __init__(self, bundles: Bundles, tables: Tables, ledger: Ledger, cache: Cache) -> None:
        self._bundles = bundles
        self._tables = tables
        self._ledger = ledger
        self._cache = cache

    def counts(self) -> Counts:
        """Predictions made here, by key and method, with the keys of tables."""
        counted = {key: account.predictions for key, account in self._ledger.accounts()}
        return {key: Counter[str]() for key in self._tables.keys()} | counted  # noqa: SIM118 - no mapping

    def models(self, others: Iterable[Counts] = ()) -> list[dict[str, Any]]:
        """One line for each model type and name, with its keys; `others` predicted too."""
        accounts = dict(self._ledger.accounts())
        own = set(self._bundles.keys())
        counted: Counts = {}
        for counts in (self.counts(), *others):
            for key, methods in counts.items():
                counted[key] = counted.get(key, Counter[str]()) + methods
        grouped: dict[tuple[str, str], list[Key]] = {}
        for key in sorted({*counted, *own}):
            grouped.setdefault((key.type, key.name), []).append(key)
        return [
            {
                "model_type": kind,
                "model_name": name,
                "total_predictions": sum(counted[key].total() for key in keys if key in counted),
                "hardware_types": sorted({key.hardware for key in keys} - {""}),
                "software_versions": sorted({key.software_version for key in keys} - {""}),
                "keys": [
                    _line(key, accounts.get(key, Account()), counted.get(key, {}), own=key in own) for key in keys
                ],
            }
            for (kind, name), keys in grouped.items()
        ]

    def collect(self) -> Iterator[Metric]:
        """Metrics, for the thread of the metrics page."""
        accounts = self._ledger.accounts()
        predictions = CounterMetricFamily(
            "jobcast_task_predictions", "Tasks answered, by key and method.", labels=["model_key", "method"]
        )
        outcomes = CounterMetricFamily("jobcast_task_outcomes", "Outcomes of a key.", labels=["model_key"])
        gauges = [GaugeMetricFamily(name, text, labels=["model_key"]) for name, text, _ in GAUGES]
        for key, account in accounts[:MOST_LABELS]:
            for method, count in account.predictions.copy().items():
                predictions.add_metric([key.label, method], count)
            told = account.accuracy.told()
            outcomes.add_metric([key.label], account.accuracy.count)
            for gauge, (_, _, field) in zip(gauges, GAUGES, strict=True):
                if told["outcomes"] and (value := told[field]) is not None:
                    gauge.add_metric([key.label], float(value))
        if rest := accounts[MOST_LABELS:]:
            predictions.add_metric([OTHER, OTHER], sum(account.predictions.total() for _, account in rest))
            outcomes.add_metric([OTHER], sum(account.accuracy.count for _, account in rest))
        yield from (predictions, outcomes, *gauges)
        yield from self._cached()

    def _cached(self) -> Iterator[Metric]:
        cache = self._cache
        if not cache.size:
            return
        for name, text, value in (
            ("hits", "Predictions answered from the cache.", cache.hits),
            ("misses", "Predictions that the cache did not have.", cache.misses),
            ("evictions", "Predictions that the cache let go for want of room.", cache.evictions),
        ):
            yield CounterMetricFamily(f"jobcast_prediction_cache_{name}", text, value=value)
        yield GaugeMetricFamily("jobcast_prediction_cache_entries", "Predictions in the cache.", value=len(cache))


def _line(key: Key, account: Account, predictions: Mapping[str, int], *, own: bool) -> dict[str, Any]:
    return {
        "hardware": key.hardware, "software_name": key.software_name, "software_version": key.software_version,
        "own_bundle": own, "predictions": dict(predictions), **account.accuracy.told(),
    }  # fmt: skip
