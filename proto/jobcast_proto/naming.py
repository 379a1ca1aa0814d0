"""Names of inputs: what a caller's word for a fact is called in a bundle. Training and serving read it alike."""

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def input_name(word: str) -> str:
    """Return the input that a feature's name stands for: lower case, all but letters and digits an underscore.

    A name that does not begin with a letter gets `x_` before it.
    """
    text = re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")
    return text if text[:1].isalpha() else f"x_{text}"
