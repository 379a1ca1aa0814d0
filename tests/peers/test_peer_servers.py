"""KServe's and LitServe's own servers answer what the graph answers, in the setups that differ most."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jobcast_bench.fleet import Cores
from jobcast_bench.infer import check_infer, check_litserve, expected, infer_requests, litserve_requests
from jobcast_bench.peers import kserve, litserve
from jobcast_bench.peers.environment import PeerError, python_of
from jobcast_bench.worker import Load, drive

MICRO = Path(__file__).resolve().parents[2] / "benchmarks" / "micro"
SEED = 3
ANYWHERE = Cores(None, None, 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that peers are measured with, of fewer trees."""
    folder = tmp_path_factory.mktemp("models")
    code = "import sys; from pathlib import Path; import peer_bundle; peer_bundle.write(Path(sys.argv[1]), rounds=20)"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=MICRO, capture_output=True, text=True, check=False)
    shutil.rmtree(MICRO / "__pycache__", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def bundle(models: Path) -> Path:
    return models / "three-forests" / "1"


def require(peer: str) -> None:
    try:
        python_of(peer)
    except PeerError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("setup", kserve.KSERVE.setups[::3], ids=str)
def test_kserve_answers_with_the_bits_of_the_graph(models: Path, bundle: Path, setup: kserve.Setup) -> None:
    require("kserve")
    with kserve.KServe(models, ANYWHERE, setup) as server:
        share = drive(Load(server.address, "infer", 10.0, 0.0, count=1000, seed=SEED, bundle=bundle))
    assert (share.succeeded, share.errors, share.invalid) == (1000, {}, ())


@pytest.mark.parametrize("setup", litserve.LITSERVE.setups[::3], ids=str)
def test_litserve_answers_with_the_bits_of_the_graph(models: Path, bundle: Path, setup: litserve.Setup) -> None:
    require("litserve")
    with litserve.LitServe(models, ANYWHERE, setup) as server:
        load = Load(
            server.http_address, "litserve", 20.0, 0.0, in_flight=8, connections=8, count=1000, seed=SEED, bundle=bundle
        )
        share = drive(load)
    assert share.succeeded >= 1000
    assert (share.errors, share.invalid) == ({}, ())


def test_an_answer_to_another_row_is_found_out(bundle: Path) -> None:
    first, second = litserve_requests(bundle, SEED, "127.0.0.1:1")[:2]
    quantiles = np.frombuffer(expected(bundle, SEED)["bench-1"], "<f4").tolist()
    answer = json.dumps({"quantiles": quantiles}).encode()
    check = check_litserve(bundle, SEED, exact=True)
    assert check(second, answer) is None
    assert "bit for bit" in str(check(first, answer))
    assert "no JSON answer" in str(check(first, b"{}"))
    assert "not a ModelInferResponse" in str(
        check_infer(bundle, SEED, exact=True)(infer_requests(bundle, SEED)[0], b"{")
    )
