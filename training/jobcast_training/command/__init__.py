"""Sub-commands of `jobcast` that belong to training. One file each."""
