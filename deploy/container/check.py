"""Builds Dockerfile.arm64 for 64-bit ARM on another machine, runs the image as an orchestrator would, compares answers.

What is real: the recipe, every instruction of it, built by buildah; the ARM code of every package, under qemu; the
container, by podman and runc, with a read-only root, no capabilities and user 10001; calls from outside over loopback.
What stands in: the two bases. They are made here from Debian's packages, since no registry of images is asked: Python
3.11 of bookworm for the base, and for the compiler Debian's newest Rust, which runs natively and compiles for ARM.

Needs root on Debian 12 and the packages that `PACKAGES` names. Everything is made in one temporary folder and removed;
the kernel's handler for ARM programs is registered if there is none, and then taken back.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from comparison import Difference, compare, free_ports, ready, served_here

ROOT = Path(__file__).parents[2]
COMMANDS = ("buildah", "podman", "runc", "debootstrap")
PACKAGES = "binfmt-support buildah debootstrap podman qemu-user-static runc"
SUITE = "bookworm"
HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
KERNEL = Path("/proc/sys/fs/binfmt_misc")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
TARGET = "aarch64-unknown-linux-gnu"
LIMIT_MB = 350
IMAGE = "localhost/jobcast:arm64"


def run(*command: str | Path, **variables: str) -> str:
    """What a command writes to standard output.

    Raises:
        SystemExit: it fails; its last lines are told.
    """
    environment = {**os.environ, **variables}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if told.returncode:
        lines = (told.stdout + told.stderr).splitlines()[-20:]
        raise SystemExit("\n".join([f"{' '.join(map(str, command))} ended with {told.returncode}:", *lines]))
    return told.stdout


@contextmanager
def emulation() -> Iterator[None]:
    """ARM programs run on this machine; what was registered for that is taken back."""
    mounted = (KERNEL / "register").exists()
    if not mounted:
        run("mount", "-t", "binfmt_misc", "binfmt_misc", KERNEL)
    name = HANDLER.stem
    registered = (KERNEL / name).exists()
    if not registered:
        (KERNEL / "register").write_text(HANDLER.read_text())
    try:
        yield
    finally:
        if not registered:
            (KERNEL / name).write_text("-1")
        if not mounted:
            run("umount", KERNEL)


class Engine:
    """buildah and podman over images of their own, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.store = ("--root", str(folder / "images"), "--runroot", str(folder / "run"), "--storage-driver", "overlay")

    def podman(self, *arguments: str | Path) -> str:
        """Run podman."""
        return run("podman", *self.store, "--cgroup-manager", "cgroupfs", "--runtime", "runc", *arguments)

    def build(self, recipe: Path, image: str, **arguments: str) -> None:
        """Build the recipe's last stage for ARM; a failure names the step."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        run(
            "buildah", *self.store, "bud", "--isolation", "chroot", "--pull-never", "--format", "docker",
            "--platform", "linux/arm64", "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", *given, "--file", recipe,
            "--tag", image, ROOT,
        )  # fmt: skip

    def take(self, root: Path, image: str, **variables: str) -> None:
        """Make an image of a root file system."""
        archive = root.with_suffix(".tar")
        run(
            "tar",
            "-C",
            root,
            "--exclude=./proc/*",
            "--exclude=./sys/*",
            "--exclude=./var/cache/apt/*",
            "-cf",
            archive,
            ".",
        )
        changes = [f"--change=ENV {name}={value}" for name, value in variables.items()]
        self.podman("import", "--quiet", "--arch", "arm64", *changes, archive, image)
        archive.unlink()
        shutil.rmtree(root)


def base(folder: Path) -> Path:
    """Debian for ARM with its Python, unpacked and configured by its own programs."""
    root = folder / "base"
    run(
        "debootstrap",
        "--variant=minbase",
        "--arch=arm64",
        "--include=ca-certificates,python3,python3-venv",
        SUITE,
        root,
    )
    return root


def compiler(folder: Path) -> Path:
    """Debian for this machine with a Rust new enough, and with Rust's libraries and a linker for ARM."""
    root = folder / "compiler"
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, root)
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    sources = Path("/etc/apt/sources.list.d/debian.sources")  # those of security have the newer Rust
    shutil.copy(sources, root / sources.relative_to("/"))
    within = ("chroot", root)
    run(*within, "dpkg", "--add-architecture", "arm64")
    run(*within, "apt-get", "--quiet", "update")
    run(
        *within, "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "cargo-web",
        "gcc-aarch64-linux-gnu", "libc6-dev", "libc6-dev-arm64-cross", "libstd-rust-web-dev:arm64", "rustc-web",
        DEBIAN_FRONTEND="noninteractive",
    )  # fmt: skip
    return root


def image(engine: Engine, folder: Path) -> int:
    """Build the image from the stand-ins; its size in MB of 2^20 bytes, all files added up."""
    engine.take(base(folder), "localhost/base")
    linker = {f"CARGO_TARGET_{TARGET.upper().replace('-', '_')}_LINKER": "aarch64-linux-gnu-gcc"}
    engine.take(compiler(folder), "localhost/compiler", CARGO_BUILD_TARGET=TARGET, **linker)
    engine.build(ROOT / "Dockerfile.arm64", IMAGE, BASE="localhost/base", RUST="localhost/compiler")
    mounted = engine.podman("image", "mount", IMAGE).strip()
    size = int(run("du", "--summarize", "--block-size=1M", mounted).split()[0])
    engine.podman("image", "unmount", IMAGE)
    return size


def exercised(engine: Engine) -> Sequence[Difference]:
    """Run the image, hold its answers against those of this machine, and stop it."""
    port, http_port, metrics_port = free_ports(3)
    begun = time.perf_counter()
    engine.podman(
        "run", "--detach", "--name", "checked", "--network", "host", "--read-only", "--read-only-tmpfs=false",
        "--cap-drop=ALL", "--security-opt", "no-new-privileges", "--ulimit", "nofile=1024:1024",
        "--ulimit", "nproc=1024:1024", "--health-interval", "disable",
        # This machine's processor, which onnxruntime would take for the emulated one, and end by a segmentation fault.
        "--security-opt", "mask=/sys/devices/system/cpu",
        "--env", "JOBCAST_HOST=127.0.0.1", "--env", f"JOBCAST_PORT={port}",
        "--env", f"JOBCAST_HTTP_PORT={http_port}", "--env", f"JOBCAST_METRICS_PORT={metrics_port}", IMAGE,
    )  # fmt: skip
    try:
        ready(f"127.0.0.1:{port}", timeout=120)
        print(f"ready {time.perf_counter() - begun:.1f} s after `podman run`, emulated")
        print(
            "machine:",
            engine.podman("exec", "checked", "python", "-c", "import platform; print(platform.machine())").strip(),
        )
        engine.podman("healthcheck", "run", "checked")
        print("health check: passed")
        with served_here(ROOT / "models") as here:
            found = compare(ROOT / "models", here, f"127.0.0.1:{port}")
        engine.podman("stop", "--time", "60", "checked")
        code = engine.podman("inspect", "checked", "--format", "{{.State.ExitCode}}").strip()
        print(f"SIGTERM: exit code {code}")
        if code != "0":
            raise SystemExit("the server did not end with 0")
        return found
    except SystemExit:
        print(engine.podman("logs", "checked"), file=sys.stderr)
        raise
    finally:
        engine.podman("rm", "--force", "checked")


def main() -> None:
    """Check, and exit with 1 unless every answer is within the tolerance that the server holds golden rows to."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing or not HANDLER.exists() or os.geteuid() != 0:
        raise SystemExit(
            f"needs root on Debian and: apt-get install {PACKAGES} (missing: {', '.join(missing) or 'none'})"
        )
    begun = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="jobcast-arm64-"))
    with emulation():
        engine = Engine(folder)
        try:
            size = image(engine, folder)
            print(f"image: {size} MB, built in {time.perf_counter() - begun:.0f} s")
            differences = exercised(engine)
        finally:
            engine.podman("system", "reset", "--force")
            shutil.rmtree(folder, ignore_errors=True)
    for one in differences:
        print(one)
    if size > LIMIT_MB:
        raise SystemExit(f"the image has {size} MB, more than {LIMIT_MB}")
    if any(one.far for one in differences):
        raise SystemExit("an answer differs from this machine's")
    print(f"{platform.machine()} and aarch64 answer alike; {time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
