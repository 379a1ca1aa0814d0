"""The features of a declared predictor, made from its declaration, written once as nodes of the graph.

    numbers | time | statistics of words | numeric parts | lists of words | histories

Beside the matrix the graph gives `anchor`, the amount that the trees' answer is a factor of: the largest amount known
of the first history or else what jobs of the same first text need in the mean; 1 for a predictor without an anchor.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobcast_export.graph import Block, Feature, Operators
from numpy.typing import NDArray
from onnx import TensorProto

from jobcast_training.allocation.declaration import LARGEST_SO_FAR, SINCE, TIME, Predictor, Text
from jobcast_training.allocation.tables import MISSING, UNKNOWN, Table, Word, words

ANCHOR = "anchor"
"""Further output of the feature graph, float64 [N, 1] > 0, in the amount's unit."""

LEAST = 1e-6
"""Smallest anchor, in the amount's unit."""

_DAY, _WEEK, _MONDAY = 86_400, 604_800, 3 * 86_400  # 1970-01-01 was a Thursday
_LIST = np.array([2], dtype=np.int64)
_FLAT = np.array([0, -1], dtype=np.int64)

op = Operators()


@dataclass(frozen=True)
class Known:
    """What the graph holds besides the trees: tables by word, and the frequent words of lists by field."""

    tables: Mapping[str, Table]
    tokens: Mapping[str, Sequence[str]]


def blocks(predictor: Predictor, known: Known) -> tuple[Sequence[Block], Mapping[str, Any]]:
    """Return the blocks of the feature matrix, and the node `anchor`."""
    statistics = _statistics(predictor, known)
    anchor = _anchor(predictor, known)
    found = [_numbers(predictor), _time(), statistics, *_parts(predictor), *_lists(predictor, known)]
    found.append(_histories(predictor, anchor))
    return found, {ANCHOR: anchor}


def _float(node: Any) -> Any:
    return op.Cast(node, to=TensorProto.FLOAT)


def _column(node: Any, *indices: int, axis: int = 1) -> Any:
    return op.Gather(node, np.array(indices, dtype=np.int64), axis=axis)


def _numbers(predictor: Predictor) -> Block:
    names = [one.name for one in predictor.numbers]
    features = tuple(Feature(one.name, one.name, one.unit) for one in predictor.numbers)
    return Block(features, _float(op.Concat(*names, axis=1)))


def _time() -> Block:
    shift = np.array([[0, _MONDAY]], dtype=np.int64)
    second = op.Mod(op.Add(TIME, shift), np.array([[_DAY, _WEEK]], dtype=np.int64))
    scale = np.array([[1 / 3600, 1 / _DAY]], dtype=np.float32)
    features = (
        Feature("hour_of_day", "second of the UTC day / 3600", "h"),
        Feature("day_of_week", "second of the UTC week / 86400, Monday 0:00 = 0", "d"),
    )
    return Block(features, op.Mul(_float(second), scale))


def _word(word: Word) -> Any:
    """The word itself, string [N, 1]."""
    return word.field.name if word.part < 0 else _column(_split(word.field), word.part)


def _split(text: Text) -> Any:
    """A text's parts, string [N, parts]; those that it lacks are empty."""
    count = len(text.parts)
    padded = op.StringConcat(text.name, np.array([[text.separator * count]]))
    split = op.StringSplit(padded, delimiter=text.separator)[0]
    return op.Reshape(_column(split, *range(count), axis=2), np.array([-1, count], dtype=np.int64))


def _code(word: Word, table: Table, offset: int) -> Any:
    rows = [offset + MISSING, *range(offset + 2, offset + 2 + len(table.keys))]
    return op.LabelEncoder(
        _word(word), keys_strings=["", *table.keys], values_int64s=rows, default_int64=offset + UNKNOWN
    )


def _statistics(predictor: Predictor, known: Known) -> Block:
    codes, rows, offset, features = [], [], 0, []
    for word in words(predictor):
        table = known.tables[word.name]
        codes.append(_code(word, table, offset))
        rows.append(table.rows)
        offset += len(table.rows)
        of = f"of earlier jobs of the same {word.name}"
        features += [
            Feature(f"{word.name}_mean", f"shrunk mean of ln(amount) {of}", f"ln {predictor.unit}"),
            Feature(f"{word.name}_spread", f"shrunk standard deviation of ln(amount) {of}", f"ln {predictor.unit}"),
            Feature(f"{word.name}_jobs", f"ln(1 + number) {of}", "ln jobs"),
        ]
    gathered = op.Gather(np.concatenate(rows), op.Concat(*codes, axis=1), axis=0)
    return Block(tuple(features), op.Reshape(gathered, _FLAT))


def _parts(predictor: Predictor) -> Iterator[Block]:
    """Parts that are whole numbers of at most nine digits; others are NaN."""
    for text in predictor.texts:
        for part in text.numbers:
            said = _column(_split(text), text.parts.index(part))
            number = op.Where(op.RegexFullMatch(said, pattern="[0-9]{1,9}"), said, np.array([["nan"]]))
            yield Block((Feature(f"{text.name}_{part}", f"{part} of {text.name}", "1"),), _float(number))


def _lists(predictor: Predictor, known: Known) -> Iterator[Block]:
    """Number of words, and whether each frequent one is there; NaN where the text is not given."""
    for text in predictor.texts:
        if not text.tokens:
            continue
        pieces, separator = known.tokens[text.name], re.escape(text.tokens)
        found = [
            op.RegexFullMatch(text.name, pattern=f"(?s)(.*{separator})?[ ]*{re.escape(piece)}[ ]*({separator}.*)?")
            for piece in pieces
        ]
        count = op.Reshape(op.StringSplit(text.name, delimiter=text.tokens)[1], np.array([-1, 1], dtype=np.int64))
        node = op.Concat(_float(count), *(_float(one) for one in found), axis=1)
        missing = op.Equal(text.name, np.array([[""]]))
        features = (
            Feature(f"{text.name}_count", f"number of words of {text.name}", "1"),
            *(Feature(f"{text.name}_has_{piece}", f"{text.name} has {piece}", "0/1") for piece in pieces),
        )
        yield Block(features, op.Where(missing, np.array([[np.nan]], dtype=np.float32), node))


def _anchor(predictor: Predictor, known: Known) -> Any:
    if not predictor.anchored:
        return op.Add(
            op.Mul(op.Cast(TIME, to=TensorProto.DOUBLE), np.zeros((1, 1))), np.ones((1, 1)), output_names=[ANCHOR]
        )
    first = words(predictor)[0]
    table = known.tables[first.name]
    usual: NDArray[np.float64] = np.exp(table.rows[:, :1].astype(np.float64))
    usual[MISSING] = usual[UNKNOWN]
    typical = op.Reshape(op.Gather(usual, _code(first, table, 0), axis=0), _FLAT)
    amounts = op.Concat(predictor.histories[0].name, _column(LARGEST_SO_FAR, 0), axis=1)
    missing = op.IsNaN(amounts)
    largest = op.ReduceMax(op.Where(missing, np.full((1, 1), -1.0), amounts), np.array([1], dtype=np.int64), keepdims=1)
    none = op.Less(largest, np.zeros((1, 1)))
    return op.Max(op.Where(none, typical, largest), np.full((1, 1), LEAST), output_names=[ANCHOR])


def _histories(predictor: Predictor, anchor: Any) -> Block:
    """All histories lie behind each other and go through every node together: [N, histories, depth]."""
    lists = [own.name for own in predictor.histories]
    amounts = op.Concat(*(op.Unsqueeze(name, np.array([1], dtype=np.int64)) for name in lists), axis=1)
    missing = op.IsNaN(amounts)
    known = op.Cast(op.Not(missing), to=TensorProto.DOUBLE)
    number = op.ReduceSum(known, _LIST, keepdims=1)
    zero = np.zeros((1, 1, 1))
    mean = op.Div(op.ReduceSum(op.Where(missing, zero, amounts), _LIST, keepdims=1), number)
    none = op.Equal(number, zero)
    gap = np.full((1, 1, 1), np.nan)
    least = np.full((1, 1, 1), -1.0)
    listed = op.ReduceMax(op.Where(missing, least, amounts), _LIST, keepdims=1)
    highest = op.Where(none, gap, listed)
    large = np.full((1, 1, 1), np.inf)
    lowest = op.Where(none, gap, op.ReduceMin(op.Where(missing, large, amounts), _LIST, keepdims=1))
    latest = _column(amounts, 0, 1, axis=2)
    last_two = op.Div(op.Add(_column(amounts, 0, axis=2), _column(amounts, 1, axis=2)), np.full((1, 1, 1), 2.0))
    statistics = [latest, last_two, mean, highest, lowest]
    texts = {
        "last": "amount of the latest",
        "previous": "amount of the one before it",
        "last_two_mean": "mean of the latest two",
        "mean": "mean",
        "highest": "largest",
        "lowest": "smallest",
    }
    if predictor.anchored:
        said = op.Unsqueeze(LARGEST_SO_FAR, _LIST)
        either = op.Max(op.Where(op.IsNaN(said), least, said), listed)
        statistics.append(op.Where(op.Less(either, zero), gap, either))
        texts["largest"] = "largest of all jobs"
    chosen = op.Concat(*statistics, axis=2)
    features = [
        Feature(f"{name}_{short}", f"{text} of {name}", predictor.unit)
        for name in lists
        for short, text in texts.items()
    ]
    parts = [op.Reshape(chosen, _FLAT)]
    if predictor.anchored:
        parts.append(op.Div(op.Reshape(chosen, _FLAT), anchor))
        features += [Feature(f"{one.name}_share", f"{one.name} / anchor", "1") for one in features]
    parts += [op.Reshape(number, _FLAT), SINCE]
    features += [Feature(f"{name}_count", f"number of {name}", "jobs") for name in lists]
    features += [Feature(f"{name}_since", f"time since the latest of {name} ended", "s") for name in lists]
    if predictor.anchored:
        parts.append(anchor)
        features.append(Feature(ANCHOR, "amount that the answer is a factor of", predictor.unit))
        if predictor.request:
            parts.append(op.Div(predictor.request, anchor))
            features.append(Feature("request_share", f"{predictor.request} / anchor", "1"))
    return Block(tuple(features), _float(op.Concat(*parts, axis=1)))
