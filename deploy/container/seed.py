"""Fills an empty repository with the shipped bundles: `seed.py FROM TO`. One that holds anything is left as it is.

What was interrupted is completed by the next call, and of several at once each waits for the one before.
"""

import fcntl
import shutil
import sys
from pathlib import Path


def seed(shipped: Path, repository: Path) -> bool:
    """Copy the bundles of `shipped` into `repository`, which exists; False when something is there already.

    Each model appears in one step, so that a server that follows the folder sees whole ones alone.
    """
    if not (repository / ".seeding").is_dir() and _used(repository):
        return False
    with (repository / ".seeding.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        staged, partial = repository / ".seeding", repository / ".seeding.partial"
        if not staged.is_dir():
            if _used(repository):
                return False
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for model in sorted(path for path in shipped.iterdir() if path.is_dir()):
                shutil.copytree(model, partial / model.name)
            partial.rename(staged)
        for model in sorted(staged.iterdir()):
            model.rename(repository / model.name)
        staged.rmdir()
    return True


def _used(repository: Path) -> bool:
    return any(not path.name.startswith(".") and path.name != "lost+found" for path in repository.iterdir())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: seed.py FROM TO, two folders; {len(sys.argv) - 1} arguments were given")
    done = seed(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {'filled from ' + sys.argv[1] if done else 'holds something, left as it is'}")
