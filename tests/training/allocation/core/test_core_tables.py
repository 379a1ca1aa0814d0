"""Statistics of words: their moments, whose jobs they are of, and that records and graph split texts by one rule."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jobcast_training.allocation.declaration import AMOUNT, Predictor, Text
from jobcast_training.allocation.encoding import Encoder, training_rows
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.settings import Settings
from jobcast_training.allocation.tables import MISSING, UNKNOWN, fit_tables, tokens, word_column, words
from jobcast_training.predictors.build_memory import PREDICTOR

FEW = replace(
    PREDICTOR,
    fields=(
        Text("profile", "", parts=("first", "second", "third"), separator="-"),
        Text("branch", "", parts=("prefix", "number"), separator="_", numbers=("number",), statistics=False),
        Text("list", "", tokens=","),
        *PREDICTOR.numbers[-1:],
    ),
)
ODD = st.text(st.sampled_from("ab-_,. 7\u00df\u6f22\U0001f600\n\t\u00a0\\(*"), max_size=9)
TEXTS = st.one_of(ODD, st.text(max_size=6), st.none())


def parts_of(text: str | None, separator: str) -> list[str]:
    return (text or "").split(separator)


def frame_of(texts: list[str | None], amounts: list[float]) -> pl.DataFrame:
    """Records whose every text field is the text."""
    count = len(texts)
    columns = {name: pl.Series(texts, dtype=pl.String) for name in ("profile", "branch", "list")}
    columns |= {
        "requested_memory": pl.Series([1.0] * count),
        "time": pl.Series(np.arange(count) + 1e9),
        "end_time": pl.Series([None] * count, dtype=pl.Float64),
        "location": pl.Series([None] * count, dtype=pl.String),
        "build_profile": pl.Series([None] * count, dtype=pl.String),
        AMOUNT: pl.Series(amounts),
        "censored": pl.Series([False] * count),
    }
    return pl.DataFrame(columns)


@pytest.mark.parametrize(("prior", "most"), [(10.0, 2000), (0.5, 2000), (4.0, 2)])
def test_moments_are_those_of_the_words_own_jobs_and_of_all(
    core: SimpleNamespace, predictor: Predictor, prior: float, most: int
) -> None:
    frame = core.invented(predictor.name, 300, 8).frame
    tables = fit_tables(predictor, frame, prior_jobs=prior, max_keys=most)
    assert list(tables) == [word.name for word in words(predictor)]
    every = [float(np.log(one)) for one in frame[AMOUNT]]
    mean, square = float(np.mean(every)), float(np.mean(np.square(every)))
    for word in words(predictor):
        own: dict[str, list[float]] = {}
        for text, log in zip(frame[word.field.name], every, strict=True):
            pieces = parts_of(text, word.field.separator) if word.part >= 0 else [text or ""]
            piece = pieces[max(word.part, 0)] if max(word.part, 0) < len(pieces) else ""
            if piece:
                own.setdefault(piece, []).append(log)
        kept = sorted(own, key=lambda key: (-len(own[key]), key))[:most]
        table = tables[word.name]
        assert table.keys == tuple(kept)
        assert table.rows.dtype == np.float32
        assert np.isnan(table.rows[MISSING]).all()
        assert table.rows[UNKNOWN] == pytest.approx([mean, np.sqrt(square - mean**2), 0.0], rel=1e-5)
        for key, row in zip(kept, table.rows[2:], strict=True):
            count = len(own[key])
            shrunk = (sum(own[key]) + prior * mean) / (count + prior)
            second = (sum(np.square(own[key])) + prior * square) / (count + prior)
            assert row == pytest.approx([shrunk, np.sqrt(second - shrunk**2), np.log1p(count)], rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=12))
@example(["", None, "-", "--", "---", "a-", "-a", "a--b", "a-b-c-d-e"])
@example(["all\t,dist", "all", " all , x", "y\nz,all", "\u00a0all", ",,all", "all\x00"])
@example(["branch_7", "branch_", "_7", "7", "b_7_8", "b_1234567890", "b_\u0667", "b_-7", "b_7.5", "b_ 7"])
def test_graph_and_records_split_texts_by_one_rule(texts: list[str | None]) -> None:
    frame = frame_of(texts, [1.0 + place for place in range(len(texts))])
    encoder = Encoder.of(FEW, frame, Settings(max_tokens=4))
    x = encoder.rows(frame, Past.of(FEW, frame)).x
    column = {feature.name: x[:, place] for place, feature in enumerate(encoder.described)}
    assert len(column) == x.shape[1], "two features of one name"
    for word in words(FEW):
        said = word_column(frame, word).to_list()
        if word.part >= 0:
            pieces = [parts_of(text, word.field.separator) for text in texts]
            assert said == [own[word.part] if word.part < len(own) else "" for own in pieces]
        jobs = Counter(said)
        wanted = [np.log1p(jobs[own]) if own else np.nan for own in said]
        assert column[f"{word.name}_jobs"] == pytest.approx(wanted, rel=1e-6, nan_ok=True), word.name

    numbers = [own[1] if len(own := parts_of(text, "_")) > 1 else "" for text in texts]
    plain = [float(own) if own.isascii() and own.isdigit() and len(own) < 10 else np.nan for own in numbers]
    assert column["branch_number"] == pytest.approx(np.float32(plain), nan_ok=True)

    lists = [parts_of(text, ",") for text in texts]
    assert column["list_count"] == pytest.approx(
        [len(own) if text else np.nan for own, text in zip(lists, texts, strict=True)], nan_ok=True
    )
    for piece in encoder.known.tokens["list"]:
        has = [
            float(piece in [one.strip(" ") for one in own]) if text else np.nan
            for own, text in zip(lists, texts, strict=True)
        ]
        assert column[f"list_has_{piece}"] == pytest.approx(has, nan_ok=True), piece


@given(st.lists(TEXTS, max_size=12), st.integers(0, 4))
@settings(deadline=None)
def test_the_words_of_a_list_are_its_most_frequent_ones(texts: list[str | None], most: int) -> None:
    counts = Counter(one.strip(" ") for text in texts for one in parts_of(text, ","))
    del counts[""]
    wanted = sorted(counts, key=lambda one: (-counts[one], one.encode()))[::1]
    found = tokens(FEW, frame_of(texts, [1.0] * len(texts)), most)
    assert list(found) == ["list"]
    assert sorted((counts[one] for one in found["list"]), reverse=True) == [counts[one] for one in wanted[:most]]
    assert list(found["list"]) == sorted(found["list"], key=lambda one: -counts[one])


def test_no_row_of_a_fit_contributes_to_a_statistic_of_its_own(core: SimpleNamespace, predictor: Predictor) -> None:
    frame = core.invented(predictor.name, 120, 9).frame
    past, told = Past.of(predictor, frame), replace(core.SMALL, hidden=1.0)
    encoder, before = training_rows(predictor, frame, past, told, seed=2)
    assert len(before.x) == 2 * frame.height, "each row once more without history"
    other_rows = 0
    for row in (0, 17, 50, 83, 119):
        amounts = frame[AMOUNT].to_numpy().copy()
        amounts[row] *= 50
        changed, after = training_rows(predictor, frame.with_columns(pl.Series(AMOUNT, amounts)), past, told, seed=2)
        for at in (row, row + frame.height):
            assert after.x[at].tobytes() == before.x[at].tobytes()
            assert after.log_anchor[at] == before.log_anchor[at]
        assert after.log_amount[row] > before.log_amount[row]
        other_rows += int((after.x != before.x).any(axis=1).sum())
        name = words(predictor)[0].name
        assert (changed.known.tables[name].rows[UNKNOWN] != encoder.known.tables[name].rows[UNKNOWN]).any()
    assert other_rows > 400, "amounts have no say in any statistic"


def test_rows_of_a_fit_stay_in_order_and_hidden_ones_know_no_history(
    core: SimpleNamespace, predictor: Predictor
) -> None:
    frame = core.invented(predictor.name, 200, 9).frame
    past = Past.of(predictor, frame)
    encoder, rows = training_rows(predictor, frame, past, core.SMALL, seed=2)
    names = [feature.name for feature in encoder.described]
    count = frame.height
    assert np.array_equal(np.exp(rows.log_amount[:count]), np.exp(np.log(frame[AMOUNT].to_numpy())))
    assert np.array_equal(rows.censored[:count], frame["censored"].to_numpy())
    request = frame["requested_memory"].fill_null(np.nan).to_numpy().astype(np.float32)
    assert np.array_equal(rows.x[:count, names.index("requested_memory")], request, equal_nan=True)
    seen = [names.index(f"{own.name}_count") for own in predictor.histories]
    assert not rows.x[count:, seen].any()
    assert rows.x[:count, seen].any()
    assert 0.1 * count < len(rows.x) - count < 0.4 * count
