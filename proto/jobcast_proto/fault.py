"""Why a bundle is not believed: one error for every reason, with the file, the rule and how to mend it."""


class BundleFault(ValueError):  # noqa: N818
    """A bundle is refused."""
