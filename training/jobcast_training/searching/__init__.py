"""What every search for hyper-parameters shares: its study in a file, its loop over trials and folds, its processes."""
