"""The repository of bundles: what lies on disk, what of it is loaded, and the change from one version to the next."""
