"""Gathers a root file system that runs the server and holds nothing else: no shell, no package manager, no compiler.

`gather.py ENVIRONMENT TARGET`, run in the stage that installed the environment. What gets in:
- the environment and the standard library of its Python, without tests, stubs, headers and sources of extensions,
  compiled to byte code, since a read-only root cannot keep any;
- the shared libraries that any of these are linked with, as the loader finds them, and the loader itself;
- certificates, and one user without rights;
- the copyright and the package status of every Debian package that a file came from, so that scanners see them.
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

USER = 10001
UNUSED = (
    "__pycache__", "tests", "include", "f2py", "*.a", "*.h", "*.hpp", "*.pxd", "*.pyi", "*.pyx",
    "onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools", "onnxruntime/transformers",
)  # fmt: skip
"""What serving never reads, below packages: names, or a package's folder that converts or tunes models."""

UNUSED_STANDARD = (
    *UNUSED, "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test",
    "tkinter", "_tkinter*", "turtledemo",
)  # fmt: skip
"""The same, of the standard library."""

ALSO = ("/etc/ssl/certs", "/etc/ld.so.cache", "/usr/share/ca-certificates")


class Root:
    """The root file system that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: set[Path] = set()

    def inside(self, path: Path) -> Path:
        """Where an absolute path of this machine lies in the new root."""
        return self.folder / path.relative_to("/")

    def follow(self, path: Path) -> Path:
        """Make each symbolic link on the way to `path` in the new root too; what it really is, without links."""
        reached = Path("/")
        parts = list(path.parts[1:])
        while parts:
            step = reached / parts.pop(0)
            if not step.is_symlink():
                reached = step
                continue
            link = self.inside(step)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(step.readlink())
            aim = Path(os.path.normpath(reached / step.readlink()))
            parts[:0] = aim.parts[1:]
            reached = Path("/")
        return reached

    def add(self, path: Path, unused: tuple[str, ...] = ()) -> None:
        """Copy a file or a folder, less what is `unused` of it, and the links that lead to it."""
        real = self.follow(path)
        place = self.inside(real)
        place.parent.mkdir(parents=True, exist_ok=True)
        if real.is_dir():
            shutil.copytree(real, place, symlinks=True, ignore=left_out(unused), dirs_exist_ok=True)
        elif not place.exists():
            shutil.copy2(real, place)
        self.taken.add(real)

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        place = self.inside(Path(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def left_out(unused: tuple[str, ...]) -> Callable[[str, list[str]], set[str]]:
    """What copytree is to skip: entries whose name, or whose folder and name, one of the patterns matches."""
    return lambda folder, names: {
        name
        for name in names
        if any(fnmatch(f"{Path(folder).name}/{name}" if "/" in pattern else name, pattern) for pattern in unused)
    }


def linked(folder: Path) -> Iterator[Path]:
    """Files below `folder` that have shared libraries to load: ELF, whatever their name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as content:
                if content.read(4) == b"\x7fELF":
                    yield path


def told_by(*command: str | Path) -> list[str]:
    """The lines that a command of this machine writes, whatever its exit code says of files that it does not know."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()  # noqa: S603


def libraries(files: Iterable[Path]) -> set[Path]:
    """What the loader would load for them, itself included.

    Raises:
        SystemExit: a library is not on this machine either.
    """
    told = told_by("ldd", *files)
    if missing := [line.strip() for line in told if line.endswith("not found")]:
        raise SystemExit(f"libraries that the image would lack: {'; '.join(missing)}")
    lines = [line.replace("=>", " ").split() for line in told if line.startswith("\t")]
    return {Path(word) for words in lines for word in words if word.startswith("/")}


def packages(files: Iterable[Path]) -> set[str]:
    """Debian packages that own any of the files, which a merged /usr may know by another path; others have none."""
    paths = [path for file in files for path in (str(file), str(file).removeprefix("/usr"), f"/usr{file}")]
    told = told_by("dpkg-query", "--search", *paths)
    owners = [line.split(": ")[0] for line in told if not line.startswith("diversion ")]
    return {name.strip().split(":")[0] for owner in owners for name in owner.split(",")}


def gather(environment: Path, target: Path) -> None:
    """Fill `target` with what runs `environment`/bin/jobcast."""
    root = Root(target)
    for name in ("python", "python3", "jobcast"):
        root.add(environment / "bin" / name)
    root.add(environment / "pyvenv.cfg")
    for site in environment.glob("lib/python3.*/site-packages"):
        root.add(site, UNUSED)
    root.add(Path(sysconfig.get_path("stdlib")), UNUSED_STANDARD)
    for library in sorted(libraries(linked(target))):
        if not library.is_relative_to(target):
            root.add(library)
    for path in ALSO:
        root.add(Path(path))
    for package in sorted(packages(root.taken)):
        root.write(f"/var/lib/dpkg/status.d/{package}", "\n".join([*told_by("dpkg-query", "--status", package), ""]))
        root.add(Path("/usr/share/doc", package, "copyright"))
    root.write("/etc/passwd", f"root:x:0:0::/:\njobcast:x:{USER}:{USER}::/var/lib/jobcast:\n")
    root.write("/etc/group", f"root:x:0:\njobcast:x:{USER}:\n")
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    compiled = compileall.compile_dir(
        target, maxlevels=40, quiet=2, stripdir=str(target), prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    if not compiled:
        raise SystemExit("a module does not compile")


if __name__ == "__main__":
    gather(Path(sys.argv[1]), Path(sys.argv[2]))
