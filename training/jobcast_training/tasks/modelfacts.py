"""What a model's name tells: parameters, those active for a token, bytes of a weight.

A name is read piece by piece between hyphens, as `Llama-3.1-70B-Instruct` or `Llama-3.1-405B-FP8` are; the graph looks
the same tables up.
"""

from collections.abc import Mapping

MIXTURES: Mapping[str, tuple[float, float]] = {
    "8x7B": (46.7, 12.9),  # Jiang et al., "Mixtral of Experts", 2024
    "8x22B": (140.6, 39.1),  # Mistral AI, "Cheaper, Better, Faster, Stronger", 2024
    "A22B": (0.0, 22.0),  # Qwen3 names say the active parameters beside the total
    "A3B": (0.0, 3.0),
    "A14B": (0.0, 14.0),
    "A2.7B": (0.0, 2.7),
}
"""Pieces of names of mixtures of experts: total and active parameters in 1e9; total 0 = another piece says it."""

WHOLE_NAMES: Mapping[str, tuple[float, float]] = {
    "gpt2": (1.5, 1.5),  # Radford et al., 2019
    "deepseek-ai/DeepSeek-V2": (236, 21),  # DeepSeek-AI, 2024
    "deepseek-ai/DeepSeek-V3": (671, 37),  # DeepSeek-AI, 2024
    "DeepSeek-V3": (671, 37),
    "deepseek-ai/DeepSeek-R1": (671, 37),
    "DeepSeek-R1": (671, 37),
    "bloom": (176, 176),  # BigScience, 2022
    "bigscience/bloom": (176, 176),
}
"""Models whose size does not stand in their name: total and active parameters in 1e9."""

BYTES: Mapping[str, float] = {
    **dict.fromkeys(("FP8", "fp8", "INT8", "int8", "W8A8", "w8a8", "8bit", "Q8_0", "q8_0"), 1.0),
    **dict.fromkeys(("AWQ", "awq", "GPTQ", "gptq", "INT4", "int4", "4bit", "W4A16", "w4a16", "NF4", "nf4"), 0.5),
    **dict.fromkeys(("Q4_0", "q4_0", "Q4_K_M", "q4_K_M", "MXFP4", "mxfp4", "FP4", "fp4"), 0.5),
}
"""Pieces of names that say how many bytes a weight takes."""

DEFAULT_BYTES = 2.0
SEPARATOR = "-"


def sizes() -> dict[str, float]:
    """Return the pieces of names that say a dense model's size, such as 8B, 6.7b or 350M, and it in 1e9."""
    found: dict[str, float] = {}
    for tenths in range(1, 1000):
        text = f"{tenths / 10:g}"
        for letter in ("B", "b"):
            found[text + letter] = tenths / 10
            if "." in text:
                found[text.replace(".", letter)] = tenths / 10  # bloom-7b1
    for whole in range(100, 2001):
        for letter in ("B", "b"):
            found[f"{whole}{letter}"] = float(whole)
    for millions in range(10, 1000, 5):
        for letter in ("M", "m"):
            found[f"{millions}{letter}"] = millions / 1000
    return found
