"""Fills an empty repository with the shipped bundles: `seed.py FROM TO`. One that holds anything is left as it is."""

import shutil
import sys
from pathlib import Path


def seed(shipped: Path, repository: Path) -> bool:
    """Copy the bundles of `shipped` into `repository`, which exists; False when something is there already.

    Each model appears in one step, so that a server that follows the folder sees whole ones alone.
    """
    if any(not path.name.startswith(".") and path.name != "lost+found" for path in repository.iterdir()):
        return False
    for model in sorted(path for path in shipped.iterdir() if path.is_dir()):
        staged = repository / f".seeding-{model.name}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(model, staged)
        staged.rename(repository / model.name)
    return True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: seed.py FROM TO, two folders; {len(sys.argv) - 1} arguments were given")
    done = seed(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {'filled from ' + sys.argv[1] if done else 'holds something, left as it is'}")
