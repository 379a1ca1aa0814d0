"""Features equal the same said in plain Python, and a row's answer has the same bits wherever the row lies."""

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jobcast_training.allocation.declaration import LARGEST_SO_FAR, SINCE, TIME, Predictor
from jobcast_training.allocation.encoding import Encoder, feeds_of
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.tables import MISSING, UNKNOWN, words
from numpy.typing import NDArray

NAN = math.nan
BATCHES = (1, 2, 3, 5, 16, 63, 64, 65, 128, 299, 300)


def plain_row(encoder: Encoder, row: Mapping[str, Any]) -> tuple[dict[str, float], float]:
    """Features and anchor of one row of raw values, by their names."""
    predictor, found = encoder.predictor, {}
    for number in predictor.numbers:
        found[number.name] = row[number.name]
    found["hour_of_day"] = row[TIME] % 86_400 / 3600
    found["day_of_week"] = (row[TIME] + 3 * 86_400) % (7 * 86_400) / 86_400
    means = []
    for word in words(predictor):
        pieces = row[word.field.name].split(word.field.separator) if word.part >= 0 else [row[word.field.name]]
        said = pieces[max(word.part, 0)] if max(word.part, 0) < len(pieces) else ""
        table = encoder.known.tables[word.name]
        place = MISSING if not said else 2 + table.keys.index(said) if said in table.keys else UNKNOWN
        for short, value in zip(("mean", "spread", "jobs"), table.rows[place], strict=True):
            found[f"{word.name}_{short}"] = float(value)
        means.append(float(table.rows[UNKNOWN if place == MISSING else place][0]))
    for text in predictor.texts:
        pieces = row[text.name].split(text.separator) if text.parts else []
        for part in text.numbers:
            said = pieces[text.parts.index(part)] if text.parts.index(part) < len(pieces) else ""
            found[f"{text.name}_{part}"] = float(said) if said.isascii() and said.isdigit() and len(said) < 10 else NAN
        if text.tokens:
            listed = row[text.name].split(text.tokens)
            found[f"{text.name}_count"] = float(len(listed)) if row[text.name] else NAN
            for piece in encoder.known.tokens[text.name]:
                there = float(piece in [one.strip(" ") for one in listed])
                found[f"{text.name}_has_{piece}"] = there if row[text.name] else NAN
    lists = {own.name: [one for one in row[own.name] if not math.isnan(one)] for own in predictor.histories}
    said = row[LARGEST_SO_FAR] if predictor.anchored else [NAN] * len(lists)
    told = {
        name: max([*own, *(one for one in [largest] if not math.isnan(one))], default=NAN)
        for (name, own), largest in zip(lists.items(), said, strict=True)
    }
    anchor = _anchor(predictor, told, means[0])
    amounts = {
        f"{name}_{short}": value
        for name, own in lists.items()
        for short, value in (_summed(own) | ({"largest": told[name]} if predictor.anchored else {})).items()
    }
    found |= amounts
    for place, (name, own) in enumerate(lists.items()):
        found |= {f"{name}_count": float(len(own)), f"{name}_since": row[SINCE][place]}
    if predictor.anchored:
        found |= {f"{name}_share": value / anchor for name, value in amounts.items()}
        found |= {"anchor": anchor, "request_share": row[predictor.request] / anchor}
    return found, anchor


def _anchor(predictor: Predictor, largest: Mapping[str, float], usual: float) -> float:
    if not predictor.anchored:
        return 1.0
    known = largest[predictor.histories[0].name]
    return max(math.exp(usual) if math.isnan(known) else known, 1e-6)


def _summed(own: list[float]) -> dict[str, float]:
    second = own[1] if len(own) > 1 else NAN
    return {
        "last": own[0] if own else NAN,
        "previous": second,
        "last_two_mean": (own[0] + second) / 2 if own else NAN,
        "mean": sum(own) / len(own) if own else NAN,
        "highest": max(own, default=NAN),
        "lowest": min(own, default=NAN),
    }


@pytest.fixture(scope="module")
def encoder(core: SimpleNamespace, predictor: Predictor) -> Encoder:
    return Encoder.of(predictor, core.invented(predictor.name, 300, 3).frame, core.SMALL)


def rows_of(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """One mapping a row, a column of one value as that value."""
    count = len(next(iter(columns.values())))
    wide = [SINCE, LARGEST_SO_FAR, *(name for name, own in columns.items() if own.shape[1] > 1)]
    return [
        {name: own[row].tolist() if name in wide else own[row, 0] for name, own in columns.items()}
        for row in range(count)
    ]


def test_features_equal_the_same_in_plain_python(core: SimpleNamespace, encoder: Encoder, predictor: Predictor) -> None:
    frame = core.invented(predictor.name, 300, 3).frame
    columns = core.asked(predictor, frame, 400, 11)
    unknown, nothing = np.arange(0, 30), np.arange(20, 50)
    for own in predictor.histories:
        columns[own.name][unknown], columns[own.name][nothing, 0] = np.nan, 0.0
        columns[own.name][nothing, 1:] = np.nan
    if predictor.anchored:
        columns[LARGEST_SO_FAR][unknown], columns[LARGEST_SO_FAR][nothing] = np.nan, 0.0
    for text in predictor.texts:
        columns[text.name][::7] = ""  # the graph has an answer to texts that a server refuses, too
    answer = core.answers(encoder.session, columns)
    names = [feature.name for feature in encoder.described]
    assert len(set(names)) == len(names) == answer["features"].shape[1]
    plain = [plain_row(encoder, row) for row in rows_of(columns)]
    assert set(plain[0][0]) == set(names)
    assert answer["anchor"][:, 0] == pytest.approx([anchor for _, anchor in plain], rel=1e-12)
    for place, name in enumerate(names):
        wanted = np.array([own[name] for own, _ in plain], dtype=np.float64).astype(np.float32)
        np.testing.assert_allclose(answer["features"][:, place], wanted, rtol=3e-7, err_msg=name)
        assert np.isfinite(wanted).any(), f"{name} is never there: the rows do not test it"


def test_records_are_fed_as_callers_feed_them(core: SimpleNamespace, encoder: Encoder, predictor: Predictor) -> None:
    frame = core.invented(predictor.name, 60, 4).frame
    past = Past.of(predictor, frame)
    fed = feeds_of(predictor, frame, past)
    assert set(fed) == {spec.name for spec in predictor.inputs()}
    for spec in predictor.inputs():
        assert fed[spec.name].shape == (60, *spec.shape[1:])
    for row, record in zip(rows_of(fed), frame.to_dicts(), strict=True):
        assert row[TIME] == math.floor(record[TIME])
        for text in predictor.texts:
            assert row[text.name] == (record[text.name] or "")
        for number in predictor.numbers:
            wanted = NAN if record[number.name] is None else record[number.name]
            assert row[number.name] == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)
    encoded = encoder.rows(frame, past)
    answer = core.answers(encoder.session, fed)
    assert np.array_equal(encoded.x, answer["features"], equal_nan=True)
    assert np.array_equal(encoded.log_anchor, np.log(answer["anchor"][:, 0]))


def same_in_any_batch(core: SimpleNamespace, session: Any, columns: Mapping[str, NDArray[Any]], seed: int) -> None:
    """Every output of every row is the same alone, in batches of any size, and in another order."""
    count = len(next(iter(columns.values())))
    whole = core.answers(session, columns)
    assert all(len(own) == count for own in whole.values())
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(count)[:size] for size in BATCHES] + [np.array([row]) for row in range(0, count, 5)]
    for order in orders:
        part = core.answers(session, {name: own[order] for name, own in columns.items()})
        for name, own in whole.items():
            assert part[name].tobytes() == own[order].tobytes(), f"{name} in a batch of {len(order)}"


def test_a_row_has_the_same_features_in_any_batch(
    core: SimpleNamespace, encoder: Encoder, predictor: Predictor
) -> None:
    frame = core.invented(predictor.name, 300, 3).frame
    same_in_any_batch(core, encoder.session, core.asked(predictor, frame, 300, 12), 1)


def test_a_row_has_the_same_answer_in_any_batch(core: SimpleNamespace, model: Any) -> None:
    same_in_any_batch(core, model.graph(), model.rows(300, 13), 2)


def test_answers_ascend_and_are_amounts(core: SimpleNamespace, model: Any) -> None:
    answer = core.answers(model.graph(), model.rows(400, 14))
    assert [(name, own.dtype) for name, own in answer.items()] == [
        (name, np.dtype(np.float32)) for name in ("quantiles", "point", "allocation")
    ]
    assert (np.diff(answer["quantiles"], axis=1) >= 0).all()
    assert (answer["quantiles"] >= 0).all()
    assert (answer["allocation"] >= 0).all()
    for own in answer.values():
        assert np.isfinite(own).all()
    assert np.array_equal(answer["point"][:, 0], answer["quantiles"][:, 4])
    assert len(np.unique(answer["allocation"])) > 5, "the rows have no say"
