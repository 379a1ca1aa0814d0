"""Model families: fit, search space, trees. One file each."""
