"""Rules and dashboards as files: what promtool and Grafana's own model say of them, and that nothing points nowhere."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
COLUMNS = 24
"""Width of Grafana's grid."""


@pytest.fixture(scope="module")
def promtool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Of Debian's package prometheus, installed or unpacked into the folder `prometheus` of the environment."""
    beside = Path(sys.executable).parents[1] / "prometheus" / "usr" / "bin" / "promtool"
    found = shutil.which("promtool") or (str(beside) if beside.is_file() else None)
    if found is None:
        pytest.skip("promtool is not here: it is in Debian's package prometheus")

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([found, *map(str, words)], capture_output=True, text=True)

    return run


def alerts() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault(rule["alert"], []).append(rule)
    return found


def test_configuration_and_rules_are_what_prometheus_reads(promtool):
    ended = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(RULES)} rule files found" in ended.stdout


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_unit_tests_say(promtool, path):
    ended = promtool("test", "rules", path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_seen_to_fire_by_a_unit_test():
    fired = set()
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for test in case["promql_expr_test"]:
                for sample in test["exp_samples"]:
                    told = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
                    fired.add((told.get("alertname"), told.get("severity")))
    assert {(name, rule["labels"]["severity"]) for name, rules in alerts().items() for rule in rules} <= fired


def test_every_alert_says_what_it_is_and_what_to_do():
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    anchors = {line.removeprefix("## ").strip().lower() for line in runbook.splitlines() if line.startswith("## ")}
    for name, rules in alerts().items():
        for rule in rules:
            assert rule["labels"]["severity"] in ("page", "ticket"), name
            assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
            assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert {name.lower() for name in alerts()} == anchors


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_s_own_model_knows_every_field_of_a_dashboard(path):
    """What `grafana-foundation-sdk` reads and writes again is the file: it drops fields that Grafana does not have."""
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason="grafana-foundation-sdk is not here")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    told = json.loads(path.read_text())
    again = json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(told)))
    assert list(lost(told, again)) == []
    assert list(lost({**told, "refesh": "30s"}, again)) == [".refesh"]


def lost(told: Any, again: Any, where: str = "") -> Iterator[str]:
    if isinstance(told, dict) and isinstance(again, dict):
        for name, value in told.items():
            if name in again:
                yield from lost(value, again[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    elif isinstance(told, list) and isinstance(again, list) and len(told) == len(again):
        for place, (one, other) in enumerate(zip(told, again, strict=True)):
            yield from lost(one, other, f"{where}[{place}]")
    elif told != again:
        yield where


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_places_sources_and_variables_that_exist(path):
    dashboard = json.loads(path.read_text())
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < COLUMNS for x, _ in cells), panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        for target in panel.get("targets", ()):
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, target["expr"]


def test_dashboards_are_provisioned_from_one_folder_under_names_of_their_own():
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "jobcast.yml").read_text())["providers"][0]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards")
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len(boards) == 3
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards)
