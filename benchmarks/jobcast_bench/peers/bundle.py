"""The model that servers are measured with beside each other: 3 x 500 trees of depth 8, in a repository of its own.

Training libraries grow it (`benchmarks/micro/peer_bundle.py`), in a process of their own, since this package does not
know them; it is kept in the running environment until what makes it changes. `python -m jobcast_bench.peers.bundle`
makes it ahead of use.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.peers.environment import PeerError, home_of

PREDICTOR = "three-forests"
SCRIPT = Path(__file__).resolve().parents[2] / "micro" / "peer_bundle.py"


def repository() -> Path:
    """The repository, made first where it is missing or out of date: about half a minute.

    Raises:
        PeerError: it cannot be made here.
    """
    if not SCRIPT.is_file():
        raise PeerError(
            "benchmarks/micro/peer_bundle.py is not here: peers are measured from a checkout of the repository"
        )
    digest = hashlib.sha256(sys.version.encode())
    for path in (SCRIPT, SCRIPT.with_name("three_forests.py")):
        digest.update(path.read_bytes())
    home = home_of("models")
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = home / "made.sha256"
        if not stamp.is_file() or stamp.read_text(encoding="ascii") != digest.hexdigest():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            _make(home)
            stamp.write_text(digest.hexdigest(), encoding="ascii")
    return home


def _make(home: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), str(home)], capture_output=True, text=True)  # noqa: S603 - our own
    if done.returncode:
        raise PeerError(
            "the model for peers cannot be made; it needs jobcast_training with xgboost, lightgbm and catboost (`make "
            f"install`): {done.stderr.strip()[-1000:]}"
        )


def graph_of(models: Path) -> Path:
    """The graph of the only predictor in a repository; raises PeerError when there is none."""
    found = newest_bundle(models, PREDICTOR)
    if found is None:
        raise PeerError(f"{models}: holds no bundle of {PREDICTOR}")
    return found / "model.onnx"


def main() -> None:
    """Make it."""
    try:
        print(repository())
    except PeerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
