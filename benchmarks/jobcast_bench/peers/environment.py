"""Environments of peers: each holds exactly the packages that `requirements/<peer>.txt` pins, and nothing of ours.

Peers pin other releases of grpcio and protobuf than this project does; they never share an environment with it. An
environment is made when it is first asked for, and again when its requirements or the interpreter changed.

`python -m jobcast_bench.peers.environment mlserver tritonclient` makes them ahead of use.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements")


class PeerError(RuntimeError):
    """A peer's environment cannot be made, or the peer does not run; the message says why and how to mend it."""


def peers() -> list[str]:
    """Names of the peers that have pinned requirements."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def home_of(peer: str) -> Path:
    """The peer's environment inside the running one, made or not."""
    return Path(sys.prefix) / "peers" / peer


def python_of(peer: str) -> Path:
    """The interpreter of the peer's environment, made first where it is missing or out of date.

    Raises:
        PeerError: the peer is not known, or its packages cannot be installed.
    """
    pinned = REQUIREMENTS / f"{peer}.txt"
    if not pinned.is_file():
        raise PeerError(f"peer: unknown {peer!r}; known: {', '.join(peers())}")
    home = home_of(peer)
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        # Tests and benchmarks that start together wait for one installation instead of making two.
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = home / "requirements.sha256", _fingerprint(pinned)
        if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
            _install(peer, home, pinned)
            stamp.write_text(wanted, encoding="ascii")
    return home / "bin" / "python"


def _fingerprint(pinned: Path) -> str:
    return hashlib.sha256(f"{sys.executable} {sys.version}\n".encode() + pinned.read_bytes()).hexdigest()


def _install(peer: str, home: Path, pinned: Path) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        raise PeerError(f"{peer}: uv is not installed, which makes its environment; try: pip install uv")
    for arguments in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        ["pip", "install", "--quiet", "--no-deps", "--python", str(home / "bin" / "python"), "-r", str(pinned)],
    ):
        # Certificates of the system, as pip uses them, so that a private authority is trusted too.
        environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
        done = subprocess.run([uv, *arguments], capture_output=True, text=True, env=environment)  # noqa: S603 - our own command
        if done.returncode:
            raise PeerError(
                f"{peer}: its environment cannot be made from {pinned.name} (it needs a package index): "
                f"{done.stderr.strip()[-1000:]}"
            )


def main() -> None:
    """Make the environments of the peers named on the command line, or of all."""
    for peer in sys.argv[1:] or peers():
        try:
            print(python_of(peer))
        except PeerError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
