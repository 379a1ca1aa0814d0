"""docs/schedulers.md: all of it runs as it stands on the shipped bundle, and informed policies beat chance."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "schedulers.md").read_text(encoding="utf-8")
POLICIES = ROOT / "docs" / "schedulers" / "policies.py"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROGRAM = "".join(block for kind, block in BLOCKS if kind == "python")
CURL, COMPARE = [block for kind, block in BLOCKS if kind == "sh"]


@pytest.fixture(scope="module")
def policies():
    return runpy.run_path(str(POLICIES))


@pytest.fixture
def shipped(start_tasks):
    bundle = ROOT / "models" / "llm-latency"
    if not bundle.exists():
        pytest.skip("models/llm-latency is not shipped with this tree")
    return start_tasks(models=bundle)


def run(command, folder=ROOT):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_of_the_page_is_one_of_these():
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    assert "http://localhost:8200" in PROGRAM
    assert "http://localhost:8200" in CURL


def test_the_programs_in_their_order(shipped, tmp_path):
    said = run([sys.executable, "-c", PROGRAM.replace("http://localhost:8200", shipped.url)], tmp_path).splitlines()
    assert said[0].startswith("(0.25, 0.5, 0.75, 0.99) (")
    median, (low, high) = float(said[1]), json.loads(said[2].replace("(", "[").replace(")", "]"))
    assert 0 < low < median < high
    slow, fast = (json.loads(line.split(" ", 1)[1]) for line in said[3:5])
    assert all(one > other for one, other in zip(slow, fast, strict=True))
    streamed = [line.split() for line in said[5:10]]
    assert [number for number, _ in streamed] == ["1", "2", "3", "4", "5"]
    mean, deviation = (float(said[10].split()[place]) for place in (0, 5))
    assert mean == pytest.approx(sum(fast), abs=3)
    assert 0 < deviation < mean
    beyond, chance = (float(line.split()[0]) for line in said[11:13])
    assert beyond > fast[0]
    assert 0 < chance <= 1
    first = said[13]
    assert first == "A100-40GB"
    shares = json.loads(said[14].replace("'", '"'))
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == first
    outside, message = said[15].split(" ", 1)
    assert int(outside) > 0
    assert "lie outside what training saw" in message
    wide, narrow = map(float, said[16].split())
    assert wide > 1.5 > 1.1 > narrow
    assert float(said[17]) < 0 or float(said[17]) > 0
    assert any(line.split()[:3] == ["meta-llama/Meta-Llama-3-8B", "NVIDIA", "L40S"] for line in said[18:])


def test_the_curl_command(shipped):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed: the page's command needs it")
    told = json.loads(run(["sh", "-e", "-c", CURL.replace("http://localhost:8200", shipped.url)]))
    assert told["summary"]["success"] == 1
    assert told["results"][0]["outside"] == 0
    assert told["results"][0]["model_info"]["name"] == "meta-llama/Meta-Llama-3-8B"


def test_informed_policies_beat_chance(tasks, tmp_path, policies):
    options = f" --url {tasks.url} --fleet A100:3,H100:2 --unseen B100:1 --tasks 400 --seeds 1"
    command = COMPARE.strip().replace("policies.png", str(tmp_path / "policies.png")) + options
    rows = [line.strip("| ").split(" | ") for line in run(["sh", "-e", "-c", command]).splitlines()]
    found = {name: list(map(float, values)) for name, *values in rows[2:]}
    assert list(found) == list(policies["POLICIES"])
    for scene in range(3):
        chance, counted, expected = (
            found[name][2 * scene : 2 * scene + 2] for name in ("random", "shortest queue", "shortest expected")
        )
        for name in ("shortest expected", "tail-aware", "probabilistic"):
            assert found[name][2 * scene] < 0.8 * chance[0], (scene, name)
            assert found[name][2 * scene + 1] < chance[1], (scene, name)
        assert expected[0] < counted[0]
    assert (tmp_path / "policies.png").stat().st_size > 10_000


def test_the_page_shows_a_run_s_table(policies):
    lines = [
        line.strip("| ").split(" | ") for line in TEXT.splitlines() if re.match(r"\| [^|]+ \|( [\d.]+ \|){6}$", line)
    ]
    assert [line[0] for line in lines] == list(policies["POLICIES"])
    heads = next(line for line in TEXT.splitlines() if line.startswith("| policy |"))
    assert policies["table"]({(s, n): (1, 2) for s in policies["SCENES"] for n in policies["POLICIES"]}).startswith(
        heads
    )


def test_the_page_s_table_is_of_the_shipped_bundle(shipped, policies):
    """One cell of it: the others take longer."""
    from argparse import Namespace

    from jobcast import PredictorClient

    fleet, name = policies["workers_of"](policies["FLEET"]), "shortest queue"
    stated = next(line for line in TEXT.splitlines() if line.startswith(f"| {name} |")).split(" | ")[1]
    with PredictorClient(shipped.url) as client:
        streams = [
            policies["make_stream"](client, fleet, 0.0, Namespace(tasks=2000, load=0.6), seed) for seed in range(4)
        ]
    took = [
        time
        for seed, one in enumerate(streams)
        for time in policies["simulate"](one, fleet, policies["POLICIES"][name], seed)
    ]
    assert sum(took) / len(took) / 1000 == pytest.approx(float(stated), rel=0.02)


def test_the_same_seed_gives_the_same_figures(tasks, policies):
    from argparse import Namespace

    from jobcast import PredictorClient

    asked = Namespace(fleet="A100:2,H100:1", unseen="B100:1", tasks=60, seeds=1, load=0.6)
    with PredictorClient(tasks.url) as client:
        assert policies["compare"](client, asked) == policies["compare"](client, asked)


def test_what_is_left_of_a_running_task(tasks, policies):
    from jobcast import PredictorClient

    with PredictorClient(tasks.url) as client:
        forecast = client.predict("x", {"hardware": "A100", "input_tokens": 800})
    law = forecast.distribution
    (fresh,) = policies["remaining"](forecast, 0.0, [0.5])
    assert fresh == pytest.approx(law.quantile(0.5), rel=0.02)
    elapsed = law.quantile(0.6)
    (left,) = policies["remaining"](forecast, elapsed, [0.5])
    assert left == pytest.approx(law.quantile(0.8) - elapsed)
    assert list(policies["remaining"](forecast, 1e12, [0.1, 0.9])) == [0.0, 0.0]
