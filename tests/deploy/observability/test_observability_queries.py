"""Every expression of every rule and panel, asked of a real Prometheus that watches real servers under real calls.

Five states: calls of every kind and outcomes, some of them bad; more work than is accepted; the loss of a worker; wrong
keys; the end of a server. An alert that none of them has is named here, with the reason.
"""

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"

FIRING = {"JobcastCoverageDrift", "JobcastErrorDrift", "JobcastModelRefused"}
"""Alerts that the first state is made to have."""

UNIT = {
    "JobcastAbsent": "Prometheus has targets", "JobcastFaults": "needs a fault of ours",
    "JobcastFiles": "needs thousands of connections", "JobcastMemoryGrowth": "needs six hours",
    "JobcastModelFaults": "needs a fault of ours", "JobcastRestarts": "needs starts on the same port",
    "JobcastWorkerRestarts": "needs an hour",
    "JobcastLatencyBurn": "how fast this machine answers is no matter of this test",
}  # fmt: skip
"""Alerts that only the unit tests of the rules see."""

KEYS = {"JobcastFileStale", "JobcastKeysRefused"}
"""Alerts of the fourth state, of the server with keys."""


def panels() -> list[Any]:
    found = []
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                found.append(pytest.param(target["expr"], id=f"{path.stem}: {panel['title']}: {target['refId']}"))
        for variable in board["templating"]["list"]:
            metric = variable["query"].removeprefix("label_values(").rpartition(",")[0]
            found.append(pytest.param(metric, id=f"{path.stem}: ${variable['name']}"))
    return found


def rules(kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if kind in rule:
                    found.setdefault(rule[kind], []).append(rule["expr"])
    return found


SELECTOR = re.compile(r"\b(?:(?:rt_predictor|jobcast|process)_\w+|(?:job|instance):\w+:\w+|up\b)(?:\{[^}]*\})?")


def selectors() -> list[str]:
    """Every selector of series in every rule."""
    told = [text for kind in ("record", "alert") for texts in rules(kind).values() for text in texts]
    return sorted({found for text in told for found in SELECTOR.findall(text)})


def filled(expression: str, instance: str = ".*") -> str:
    """As Grafana asks it, with every model and key chosen."""
    chosen = {"__rate_interval": "1m", "instance": instance, "model": ".*", "key": ".*"}
    return re.sub(r"\$(\w+)", lambda name: chosen[name[1]], expression)


@pytest.mark.parametrize("expression", panels())
def test_every_panel_shows_data(watched, expression):
    watched.until(filled(expression))


@pytest.mark.parametrize("name", rules("record"))
def test_every_recording_rule_records(watched, name):
    watched.until(f'{name}{{job="jobcast"}} >= 0')  # NaN, where nothing was asked, is not


@pytest.mark.parametrize("selector", selectors())
def test_every_selector_of_every_rule_finds_series(watched, selector):
    watched.until(selector)


def test_only_what_is_wrong_fires(watched):
    # A scrape that a busy machine lost is made good by the next one.
    watched.until(f'absent(ALERTS{{alertname!~"JobcastLatencyBurn|{"|".join(FIRING)}", alertstate="firing"}})')
    assert watched.firing() - {"JobcastLatencyBurn"} == FIRING
    told = {
        (one["metric"]["alertname"], one["metric"].get("model_key") or one["metric"]["version"])
        for one in watched.ask('ALERTS{alertstate="firing", alertname!="JobcastLatencyBurn"}')
    }
    assert told == {
        ("JobcastCoverageDrift", "m/short/A100/vllm/1"), ("JobcastErrorDrift", "m/changed/A100/vllm/1"),
        ("JobcastModelRefused", "2"),
    }  # fmt: skip


def test_nothing_is_shown_where_nothing_was_reported(watched):
    """A server without outcomes and without a cache has no coverage, no error, no share of hits."""
    silent = [
        expression
        for (expression,) in (panel.values for panel in panels())
        if "$instance" in expression and re.search("coverage|task_error|task_drift|task_outcomes|_cache_", expression)
    ]
    assert len(silent) == 7
    for expression in silent:
        watched.until(filled(expression, watched.full.metrics))
        assert watched.ask(filled(expression, watched.bare.metrics)) == []


def test_more_work_than_is_accepted_raises_the_alerts_of_overload(watched):
    """The second state."""
    stop = threading.Event()

    def infer() -> None:
        while not stop.is_set():
            watched.full.infer(10_000)

    def predict() -> None:
        watched.full.batches(10_000, lambda: not stop.is_set())

    threads = [threading.Thread(target=one) for one in (predict,) * 6 + (infer,) * 2]
    for thread in threads:
        thread.start()
    try:
        for name in ("JobcastQueue", "JobcastOverload", "JobcastAvailabilityBurn"):
            watched.until(f'ALERTS{{alertname="{name}", alertstate="firing"}}')
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_loss_of_a_worker_raises_an_alert_until_it_is_back(watched):
    """The third state."""
    pid = watched.bare.process.pid
    worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])
    lost = f'ALERTS{{alertname="JobcastWorkerDown", instance="{watched.bare.metrics}", alertstate="firing"}}'
    os.kill(worker, signal.SIGKILL)
    watched.until(lost)
    watched.until(f"absent({lost})")


def test_wrong_keys_and_a_file_that_cannot_be_read_raise_alerts(watched):
    """The fourth state."""
    own = f'instance="{watched.bare.metrics}", alertstate="firing"'
    watched.until(f'ALERTS{{alertname="JobcastKeysRefused", {own}}}', lambda: watched.bare.post("/predict", {}, 100))
    Path(watched.bare.keys).write_text("no keys")
    watched.until(f'ALERTS{{alertname="JobcastFileStale", {own}}}')


def test_the_end_of_a_server_raises_the_alerts_of_absence(watched):
    """The fifth state: it drains, then it is gone; the other one is not concerned."""
    watched.full.process.send_signal(signal.SIGTERM)
    gone = f'instance="{watched.full.metrics}", alertstate="firing"'
    for name in ("JobcastNotReady", "JobcastModelNotReady"):
        watched.until(f'ALERTS{{alertname="{name}", {gone}}}')
    watched.full.process.kill()
    watched.until(f'ALERTS{{alertname="JobcastDown", {gone}}}')
    watched.until(f'absent(ALERTS{{alertname="JobcastNotReady", {gone}}})')
    absence = "JobcastDown|JobcastNotReady|JobcastModelNotReady"
    watched.until(f'absent(ALERTS{{alertname=~"{absence}", instance="{watched.bare.metrics}"}})')


def test_every_alert_was_seen_in_a_state_or_only_by_the_unit_tests():
    seen = FIRING | KEYS | {"JobcastQueue", "JobcastOverload", "JobcastAvailabilityBurn"}
    seen |= {"JobcastWorkerDown", "JobcastNotReady", "JobcastModelNotReady", "JobcastDown"}
    assert seen | set(UNIT) == set(rules("alert"))
    assert not seen & set(UNIT)
