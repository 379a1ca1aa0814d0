"""Triton's perf_analyzer, unchanged: the binary in tritonclient's wheel for Linux, and the libraries that it links.

Later wheels than the pinned one need glibc 2.38. The CUDA runtime comes as a wheel and needs no GPU here. libb64 is
in no wheel: where the system lacks it, Debian's package is unpacked into the peer's environment, without root.
"""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from jobcast_bench.peers.environment import PeerError, home_of, python_of

PEER = "perf_analyzer"
LIBB64, LIBB64_PACKAGE = "libb64.so.0d", "libb64-0d"


def command() -> tuple[str, dict[str, str]]:
    """Path of the binary and the environment it runs in, both made first where they are missing.

    Raises:
        PeerError: its packages cannot be had, or the binary does not run on this machine.
    """
    python = python_of(PEER)
    home = home_of(PEER)
    binary = python.with_name(PEER)
    if not binary.is_file():
        raise PeerError(f"{PEER}: its wheel carries no binary for this kind of machine; use Linux on x86-64")
    libraries = home / "lib"
    if ctypes.util.find_library("b64") != LIBB64 and not (libraries / LIBB64).exists():
        _unpack_libb64(libraries)
    cuda = sorted(home.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib"))
    searched = [*map(str, cuda), str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, searched))}
    done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, env=environment)  # noqa: S603 - the peer
    if done.returncode:
        raise PeerError(f"{PEER}: does not run on this machine: {done.stderr.strip()}")
    return str(binary), environment


def _unpack_libb64(libraries: Path) -> None:
    """Put libb64 from the distribution's package into `libraries`, with package lists of its own, so without root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise PeerError(f"{PEER}: needs {LIBB64}, and there is no apt-get to fetch it; install libb64")
    with tempfile.TemporaryDirectory(dir=libraries) as scratch:
        for folder in ("lists/partial", "cache/archives/partial"):
            Path(scratch, folder).mkdir(parents=True)
        own = [f"Dir::State::Lists={scratch}/lists", f"Dir::Cache={scratch}/cache", "APT::Sandbox::User="]
        apt = ["apt-get", "-qq", *(f"-o{setting}" for setting in own)]
        _run([*apt, "update"], scratch)
        _run([*apt, "download", LIBB64_PACKAGE], scratch)
        _run(["dpkg-deb", "-x", *map(str, Path(scratch).glob("*.deb")), f"{scratch}/root"], scratch)
        found = next(Path(scratch, "root").rglob(LIBB64), None)
        if found is None:
            raise PeerError(f"{PEER}: the package {LIBB64_PACKAGE} holds no {LIBB64}; install libb64 0d")
        # A rename is seen whole or not at all by another process that asks for the same.
        found.replace(libraries / LIBB64)


def _run(arguments: list[str], folder: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)  # noqa: S603 - apt and dpkg
    if done.returncode:
        raise PeerError(
            f"{PEER}: needs {LIBB64}, and the package {LIBB64_PACKAGE} cannot be fetched; "
            f"install it as the system's administrator. {arguments[0]} said: {done.stderr.strip()[-500:]}"
        )
