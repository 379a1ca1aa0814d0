"""Names of serving software: one name for each, whatever its capitals."""

from collections.abc import Mapping
from functools import cache

KNOWN = ("vLLM", "SGLang", "TensorRT-LLM", "llama.cpp", "DeepSpeed", "DeepSpeed-MII", "TGI", "diffusers", "sambaflow")
_ALIASES = {"Deepspeed": "DeepSpeed", "Deepspeed-MII": "DeepSpeed-MII", "diffuser": "diffusers", "TRT-LLM": KNOWN[2]}


@cache
def spellings() -> Mapping[str, str]:
    """Return every spelling that is understood and the software it means."""
    found: dict[str, str] = {}
    for text, own in [*((name, name) for name in KNOWN), *_ALIASES.items()]:
        for cased in (text, text.lower(), text.upper()):
            found.setdefault(cased, own)
    return found


def canonical(name: str) -> str:
    """Return a software's name as records use it; one that is not known stays as it is."""
    return spellings().get(name.strip(), name.strip())
