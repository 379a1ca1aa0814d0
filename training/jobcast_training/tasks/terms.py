"""Nodes of the `llm-latency` graph that turn a request into physical terms: work over FLOP/s, bytes over bandwidth.

A decoder reads its weights from memory once for every generated token, whatever the batch (the memory roof),
multiplies 2 x parameters for every token of every sequence (the compute roof), and reads the keys and values of all
earlier tokens (Pope et al., "Efficiently Scaling Transformer Inference", 2022, section 2; Williams et al., "Roofline",
2009). Diffusion models work on images x frames x pixels in every step. Each term is in ms at the hardware's peak, or a
count; how many ms one of it takes is fitted (`measure`).

Only exactly rounded element-wise operators are used, so that a row has the same bits alone and in a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from jobcast_export.graph import Operators
from numpy.typing import NDArray
from onnx import TensorProto

from jobcast_training.tasks import modelfacts
from jobcast_training.tasks.records import NUMBERS, TEXTS
from jobcast_training.tasks.vocabulary import UNKNOWN, Vocabulary, facts_table

KEY_VALUE_GB = 3e-4
"""Bytes of keys and values of one token of one sequence, in GB: about that of 70e9 parameters with grouped heads."""

HALF_RATE = 20.0
"""Requests/s at which other requests slow a token by half of what they can."""

GIVEN = tuple(NUMBERS)
_TOKENS = ("input_tokens", "output_tokens", "max_tokens")
_LEAST = 1e-6
"""Least divisor: a size of 0 makes a long time, not an infinite one."""

_PICTURES = ("pixel_num", "duration", "frames", "num_images", "num_inference_steps")

TERMS: dict[str, tuple[tuple[str, ...], float, str]] = {
    "call": ((), 20.0, "one call"),
    "steps": (("output",), 5.0, "tokens generated, one after the other"),
    "layers": (("output", "root_parameters"), 0.5, "tokens generated x sqrt(parameters in 1e9)"),
    "weights": (
        ("output", "weights_ms", "per_device"),
        1.5,
        "reading the weights for each token, split over devices, ms",
    ),
    "weights_whole": (("output", "weights_ms"), 0.05, "reading the weights for each token, not split, ms"),
    "weights_each": (
        ("output", "weights_ms", "per_device", "batch"),
        0.01,
        "reading the weights for each sequence, ms",
    ),
    "prefill": (("prefill_ms", "per_device"), 2.0, "multiplying the prompts, ms"),
    "decode": (("decode_ms", "per_device"), 1.0, "multiplying the generated tokens, ms"),
    "cache": (("sequence_tokens", "context", "cache_ms", "per_device"), 1.0, "reading keys and values, ms"),
    "sequences": (("sequence_tokens",), 0.02, "tokens generated of all sequences"),
    "exchange": (("output", "other_devices"), 0.3, "tokens generated x further devices"),
    "queue": (("ahead",), 1.0, "requests ahead"),
    "load": (("output", "rate"), 2.0, "tokens generated x rate / (rate + 20): batches fill up, then requests wait"),
    "picture": (("pictures",), 500.0, "one image or video request"),
    "diffusion": (("work_ms",), 300.0, "images x frames x steps x Mpixel over TFLOP/s"),
    "drawn": (("drawn", "denoising"), 10.0, "images x steps"),
    "frames": (("film",), 50.0, "frames"),
    "frames_squared": (("film", "film"), 0.5, "frames squared (attention over time)"),
    "seconds": (("seconds",), 100.0, "s of video or sound"),
    "prompt": (("prompt",), 0.01, "characters of the prompt"),
}
"""Terms: the factors that make it, the ms of one of it before any fit, and what it counts."""

op = Operators()


@dataclass(frozen=True)
class Stated:
    """Nodes of what a request says, gaps filled from tables.

    Attributes:
        codes: int64 [N, 5], of the texts in order.
        known: float64 [N, numbers], `NUMBERS` and then the extra inputs; NaN = not known.
        size: float64 [N, 3]: parameters active for a token over all (a share), bytes of a weight, 1.
    """

    codes: Any
    known: Any
    size: Any


def columns(node: Any, *indices: int) -> Any:
    """Return some columns of a matrix."""
    return op.Gather(node, np.array(indices, dtype=np.int64), axis=1)


def stated(words: Vocabulary, extra: Sequence[str]) -> Stated:
    """Return the nodes that read a request."""
    codes = []
    for field in TEXTS:
        keys, values = words.keys(field)
        codes.append(op.LabelEncoder(field, keys_strings=keys, values_int64s=values, default_int64=UNKNOWN))
    total, active, weight = _model_size()
    table = op.Reshape(
        op.Gather(facts_table(words), codes[tuple(TEXTS).index("hardware")], axis=0), np.array([0, 3], dtype=np.int64)
    )
    facts = op.Concat(op.Where(op.Equal(total, np.zeros((1, 1))), np.full((1, 1), np.nan), total), table, axis=1)
    given = op.Concat("parameters_b", "memory_bandwidth_gb_s", "fp16_tflops", "memory_gb", axis=1)
    share = op.Where(op.Greater(active, np.zeros((1, 1))), op.Div(active, total), np.ones((1, 1)))
    known = op.Concat(*GIVEN[:-4], op.Where(op.IsNaN(given), facts, given), *extra, axis=1)
    return Stated(op.Concat(*codes, axis=1), known, op.Concat(share, weight, axis=1))


def _model_size() -> tuple[Any, Any, Any]:
    """Total and active parameters in 1e9 (0 = not told) and bytes of a weight, float64 [N, 1] each."""
    pieces = op.StringSplit("model_name", delimiter=modelfacts.SEPARATOR)[0]
    dense, mixed, whole = modelfacts.sizes(), modelfacts.MIXTURES, modelfacts.WHOLE_NAMES

    def looked_up(texts: Any, table: dict[str, float], default: float) -> Any:
        return op.LabelEncoder(
            texts, keys_strings=list(table), values_floats=list(table.values()), default_float=default
        )

    def best(over_pieces: dict[str, float], over_names: dict[str, float]) -> Any:
        last = np.array([2], dtype=np.int64)
        name = op.Unsqueeze(looked_up("model_name", over_names, 0.0), last)
        found = op.Concat(looked_up(pieces, over_pieces, 0.0), name, axis=2)
        return op.Cast(op.ReduceMax(found, last, keepdims=0), to=TensorProto.DOUBLE)

    total = best(dense | {k: t for k, (t, _) in mixed.items()}, {k: t for k, (t, _) in whole.items()})
    active = best({k: a for k, (_, a) in mixed.items()}, {k: a for k, (_, a) in whole.items()})
    fewest = modelfacts.DEFAULT_BYTES
    saved = best({k: fewest - b for k, b in modelfacts.BYTES.items()}, {"": 0.0})
    return total, active, op.Sub(np.full((1, 1), fewest), saved)


def term_names(extra: Sequence[str]) -> tuple[str, ...]:
    """Names of the terms in order; each extra input is a term of its own."""
    return (*TERMS, *extra)


def terms(said: Stated, usual: NDArray[np.float64], extra: Sequence[str]) -> Any:
    """Return the node of the terms, float64 [N, terms], none negative.

    Args:
        said: what the request says.
        usual: what stands for each unknown number, shape [numbers].
        extra: names of further numeric inputs.
    """
    place = {name: index for index, name in enumerate((*GIVEN, *extra))}
    gaps = op.IsNaN(said.known)

    def filled(names: Sequence[str], instead: Sequence[float], least: float = 0.0) -> dict[str, Any]:
        where = [place[name] for name in names]
        stands = op.Where(columns(gaps, *where), np.array([instead]), columns(said.known, *where))
        chosen = op.Max(stands, np.full((1, 1), least))
        return {name: columns(chosen, index) for index, name in enumerate(names)}

    zero = filled((*_PICTURES, "request_rate", "requests_ahead", "prompt_length"), [0.0] * (len(_PICTURES) + 3))
    one = filled(("batch_size", "num_devices", "num_images", "frames"), [1.0] * 4, _LEAST)
    facts = ("parameters_b", "memory_bandwidth_gb_s", "fp16_tflops", "pixel_num", "num_inference_steps")
    typical = filled(facts, [usual[place[name]] for name in facts], _LEAST)
    prompt, output = _token_counts(said, gaps, place, usual)
    basis = _basis(zero, one, typical, prompt, output, _any(gaps, place, _PICTURES), said.size)
    names = ("one", *(name for name in basis if name != "one"))
    matrix = op.Concat(*(basis[name] for name in names), axis=1)
    deepest = max(len(factors) for factors, *_ in TERMS.values())
    padded = [(*factors, *["one"] * (deepest - len(factors))) for factors, *_ in TERMS.values()]
    parts = [columns(matrix, *(names.index(factors[depth]) for factors in padded)) for depth in range(deepest)]
    found = reduce(op.Mul, parts)
    if extra:
        found = op.Concat(found, op.Concat(*(filled([name], [0.0])[name] for name in extra), axis=1), axis=1)
    return op.Max(found, np.zeros((1, 1)))


def _any(gaps: Any, place: dict[str, int], names: Sequence[str]) -> Any:
    """1.0 where one of the numbers is known, float64 [N, 1]."""
    known = op.Not(columns(gaps, *(place[name] for name in names)))
    flags = op.Cast(known, to=TensorProto.DOUBLE)
    return op.ReduceMax(flags, np.array([1], dtype=np.int64), keepdims=1)


def _token_counts(said: Stated, gaps: Any, place: dict[str, int], usual: NDArray[np.float64]) -> tuple[Any, Any]:
    """Prompt and generated tokens: as known, else at most `max_tokens`, else the usual; 0 where no token is told of."""
    tokens = _any(gaps, place, _TOKENS)

    def known_or(name: str, instead: Any) -> Any:
        return op.Where(columns(gaps, place[name]), instead, columns(said.known, place[name]))

    typical = {name: op.Mul(tokens, np.full((1, 1), usual[place[name]])) for name in _TOKENS[:2]}
    prompt = known_or("input_tokens", typical["input_tokens"])
    return prompt, known_or("output_tokens", known_or("max_tokens", typical["output_tokens"]))


def _basis(
    zero: dict[str, Any],
    one: dict[str, Any],
    typical: dict[str, Any],
    prompt: Any,
    output: Any,
    pictures: Any,
    size: Any,
) -> dict[str, Any]:
    """The factors of the terms, float64 [N, 1] each."""
    parameters, batch, devices = typical["parameters_b"], one["batch_size"], one["num_devices"]
    share, weight = columns(size, 0), columns(size, 1)
    active = op.Mul(parameters, share)
    per_bandwidth = op.Div(np.full((1, 1), 1000.0), typical["memory_bandwidth_gb_s"])
    per_flop = op.Div(np.full((1, 1), 2.0), typical["fp16_tflops"])
    read = op.Mul(op.Min(parameters, op.Mul(active, batch)), weight)
    sequence_tokens = op.Mul(batch, output)
    half = op.Mul(output, np.full((1, 1), 0.5))
    film, steps = zero["frames"], typical["num_inference_steps"]
    pixels = op.Mul(typical["pixel_num"], np.full((1, 1), 1e-6))
    work = op.Mul(op.Mul(one["num_images"], one["frames"]), op.Mul(op.Mul(steps, pixels), per_flop))
    return {
        "one": op.Add(op.Sub(batch, batch), np.ones((1, 1))),
        "output": output,
        "root_parameters": op.Sqrt(parameters),
        "weights_ms": op.Mul(read, per_bandwidth),
        "per_device": op.Reciprocal(devices),
        "other_devices": op.Sub(devices, np.ones((1, 1))),
        "batch": batch,
        "prefill_ms": op.Mul(op.Mul(op.Mul(prompt, batch), active), per_flop),
        "decode_ms": op.Mul(op.Mul(sequence_tokens, active), per_flop),
        "sequence_tokens": sequence_tokens,
        "context": op.Add(prompt, half),
        "cache_ms": op.Mul(per_bandwidth, np.full((1, 1), KEY_VALUE_GB)),
        "ahead": zero["requests_ahead"],
        "rate": op.Div(zero["request_rate"], op.Add(zero["request_rate"], np.full((1, 1), HALF_RATE))),
        "pictures": pictures,
        "work_ms": op.Mul(pictures, work),
        "drawn": op.Mul(pictures, one["num_images"]),
        "denoising": steps,
        "film": film,
        "seconds": zero["duration"],
        "prompt": zero["prompt_length"],
    }
