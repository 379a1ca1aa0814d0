"""The `llm-latency` graph: what it reads from names, its terms, its estimate, and one row like a batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from jobcast_export.graph import Block
from jobcast_export.scaled import scaled_graph
from jobcast_server.repository.bundle import load
from jobcast_training.predictors import llm_latency
from jobcast_training.tasks.hardware import ACCELERATORS, canonical, spellings
from jobcast_training.tasks.matrices import feeds_of, graph_of, learn, rows_of, run
from jobcast_training.tasks.measure import fit_measure
from jobcast_training.tasks.pipeline import Model
from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskRecords, task_records
from jobcast_training.tasks.settings import SERVED
from jobcast_training.tasks.terms import TERMS, op, stated, terms
from jobcast_training.tasks.vocabulary import FIRST, MISSING, UNKNOWN, vocabulary

PLACE = {name: index for index, name in enumerate(NUMBERS)}


def said(rows: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers known, share and bytes, and codes that the graph reads from rows."""
    records = task_records(pl.DataFrame([{TARGET: 1.0} | row for row in rows]), "rows")
    words = vocabulary(records.frame)
    node = stated(words, ())
    graph = scaled_graph(
        [Block((), op.Identity(node.known))],
        {
            "size": op.Identity(node.size, output_names=["size"]),
            "codes": op.Identity(node.codes, output_names=["codes"]),
        },
        llm_latency.inputs(()),
        "known",
    )
    known, size, codes = run(graph, ["known", "size", "codes"], feeds_of(records.frame, ()))
    return known, size, codes


@pytest.mark.parametrize(
    ("name", "parameters", "share", "weight"),
    [
        ("meta-llama/Llama-2-70b-hf", 70.0, 1.0, 2.0),
        ("llama2-70b", 70.0, 1.0, 2.0),
        ("meta-llama/Llama-3.1-405B-FP8", 405.0, 1.0, 1.0),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7, 12.9 / 46.7, 2.0),
        ("Qwen/Qwen3-30B-A3B", 30.0, 0.1, 2.0),
        ("facebook/opt-6.7b", 6.7, 1.0, 2.0),
        ("bigscience/bloom-7b1", 7.1, 1.0, 2.0),
        ("Qwen/Qwen2.5-0.5B-Instruct-AWQ", 0.5, 1.0, 0.5),
        ("DeepSeek-V3", 671.0, 37 / 671, 2.0),
        ("opt-350M", 0.35, 1.0, 2.0),
        ("a-secret-model", np.nan, 1.0, 2.0),
        ("", np.nan, 1.0, 2.0),
    ],
)
def test_a_models_name_tells_its_size_share_and_bytes(
    name: str, parameters: float, share: float, weight: float
) -> None:
    known, size, _ = said([{"model_name": name}, {"model_name": "x-1B-y-z-FP8"}])
    np.testing.assert_allclose(known[0, PLACE["parameters_b"]], parameters, rtol=1e-6)
    np.testing.assert_allclose(size[0], [share, weight], rtol=1e-6)


def test_every_spelling_of_an_accelerator_has_its_facts_and_what_the_caller_says_goes_first() -> None:
    texts = list(spellings())
    known, _, _ = said([{"hardware": canonical(text)[0]} for text in texts])
    facts = [PLACE[name] for name in ("memory_bandwidth_gb_s", "fp16_tflops", "memory_gb")]
    np.testing.assert_array_equal(known[:, facts], [ACCELERATORS[spellings()[text]].facts for text in texts])
    known, _, raw = said([{"hardware": text} for text in texts])
    assert (raw[:, 2] >= FIRST).all()
    known, _, _ = said([{"hardware": "H20", "memory_bandwidth_gb_s": 7.0}])
    assert known[0, facts].tolist() == [7.0, 148.0, 96.0]


def test_terms_are_work_over_the_hardwares_peaks() -> None:
    row = {
        "model_type": "llm",
        "model_name": "llama2-70b",
        "hardware": "A100-80GB",
        "input_tokens": 512.0,
        "output_tokens": 128.0,
        "batch_size": 4.0,
        "num_devices": 2.0,
    }
    found = _terms([row, {**row, "output_tokens": None, "max_tokens": 64.0}, {"frames": 30.0, "num_images": 2.0}])
    weights_ms = 140 * 1000 / 2039
    assert found["weights"][0] == pytest.approx(128 * weights_ms / 2, rel=1e-6)
    assert found["weights_whole"][0] == pytest.approx(128 * weights_ms, rel=1e-6)
    assert found["prefill"][0] == pytest.approx(2 * 70 * 512 * 4 / 312 / 2, rel=1e-6)
    assert found["decode"][0] == pytest.approx(2 * 70 * 128 * 4 / 312 / 2, rel=1e-6)
    assert found["cache"][0] == pytest.approx(4 * 128 * (512 + 64) * 3e-4 * 1000 / 2039 / 2, rel=1e-6)
    assert found["exchange"][0] == 128
    assert found["picture"][0] == 0
    assert found["weights"][1] == pytest.approx(64 * weights_ms / 2, rel=1e-6)  # at most max_tokens
    assert found["load"][0] == 0
    assert _terms([{**row, "request_rate": 20.0}])["load"][0] == 64  # half of what other requests can do
    assert (found["weights"][2], found["picture"][2], found["frames_squared"][2]) == (0, 1, 900)


def _terms(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    records = task_records(pl.DataFrame([{TARGET: 1.0} | row for row in rows], infer_schema_length=None), "rows")
    node = terms(stated(vocabulary(records.frame), ()), np.ones(len(NUMBERS)), ())
    graph = scaled_graph([Block((), node)], {}, llm_latency.inputs(()), "terms")
    (found,) = run(graph, ["terms"], feeds_of(records.frame, ()))
    return dict(zip(TERMS, found.T, strict=True))


def test_the_estimate_finds_the_law_and_carries_it_beyond_what_was_seen(records: TaskRecords) -> None:
    known = learn(records)
    graph, _ = graph_of(known)
    log_time = np.log(records.frame[TARGET].to_numpy())
    assert np.std(log_time - rows_of(graph, records.frame, ()).log_estimate) < 0.13  # the noise is 0.1
    longer = records.frame.with_columns(pl.col("output_tokens") * 20)
    grown = rows_of(graph, longer, ()).log_estimate - rows_of(graph, records.frame, ()).log_estimate
    assert np.exp(grown).min() > 8
    elsewhere = records.frame.with_columns(hardware=pl.lit("L40S"))
    slower = rows_of(graph, elsewhere, ()).log_estimate - log_time
    same = records.frame["hardware"].to_numpy()
    expected = {name: np.log(bandwidth / 864) for name, bandwidth in (("A100-80GB", 2039), ("H100-80GB", 3350))}
    for name, factor in expected.items():  # the memory roof moves with the bandwidth of hardware never seen
        assert np.median(slower[same == name]) == pytest.approx(factor, abs=0.35)


def test_a_name_never_seen_is_estimated_as_the_seen_ones_would_have_been(records: TaskRecords) -> None:
    """Three kinds of software, each slow in a term of its own: the terms at their geometric means are less than any."""
    rng = np.random.default_rng(0)
    names, rows = ("vLLM", "SGLang", "TGI"), [200, 40, 20]
    frame = records.frame.head(sum(rows)).with_columns(software_name=pl.Series(np.repeat(names, rows)))
    words = vocabulary(frame)
    software = np.repeat([words.values["software_name"].index(name) for name in names], rows)
    codes = np.tile([FIRST, FIRST, FIRST, FIRST, MISSING], (len(software), 1))
    codes[:, list(TEXTS).index("software_name")] = FIRST + software
    matrix = np.zeros((len(software), len(TERMS)))
    matrix[:, :3] = rng.uniform(0.5, 2, (len(software), 3))
    slow = np.where(np.arange(3) == software[:, None], 9.0, 1.0)
    log_time = np.log((matrix[:, :3] * slow).sum(axis=1) * 50)
    fitted = fit_measure(matrix, codes, log_time, words, ())
    factor = fitted.factors["software_name"][UNKNOWN]
    others = [
        own[codes[:, place]] for place, (name, own) in enumerate(fitted.factors.items()) if name != "software_name"
    ]
    guess = matrix @ (fitted.base * fitted.by_type[FIRST] * fitted.by_software[UNKNOWN]) * np.prod(others, axis=0)
    misses = [np.median((log_time - np.log(guess * factor))[software == own]) for own in range(3)]
    assert np.median(misses) == pytest.approx(0, abs=1e-9), "the name in the middle is met, however few its rows"
    assert factor > 1.2
    assert fitted.factors["software_name"][MISSING] == factor, "training always had one"


def test_figures_that_nobody_knows_are_held_once_not_for_every_row(records: TaskRecords) -> None:
    half = records.frame.height // 2
    hardware = pl.Series(["A100-80GB"] * half + ["home-made"] * (records.frame.height - half))
    mixed = learn(replace(records, frame=records.frame.with_columns(hardware=hardware)))
    np.testing.assert_array_equal(mixed.seen.hardware, [[2039, 312, 80], [np.nan] * 3])


def test_a_single_name_says_nothing_of_others(records: TaskRecords) -> None:
    words = vocabulary(records.frame)
    codes = np.tile([FIRST, FIRST, FIRST, FIRST, MISSING], (records.frame.height, 1))
    rng = np.random.default_rng(0)
    matrix = np.abs(rng.normal(1, 0.2, (records.frame.height, len(TERMS))))
    fitted = fit_measure(matrix, codes, np.log(matrix.sum(axis=1) * 7), words, ())
    assert all(own[UNKNOWN] == 1 for own in fitted.factors.values())
    assert (fitted.by_software[UNKNOWN] == 1).all()
    assert (fitted.by_type[UNKNOWN] == 1).all()


def test_one_row_has_the_same_bits_alone_in_a_batch_and_in_another_order(model: Model, records: TaskRecords) -> None:
    frame = pl.concat([records.frame.head(37), _odd(records.frame.head(8))])
    names = ["quantiles", "point", "outside", "features", "estimate"]
    graph = model.fit.graph
    for content, wanted in ((model.served, names[:3]), (graph, names[3:])):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # as the server runs it; several threads sum a row's trees in another order
        session = onnxruntime.InferenceSession(content.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = feeds_of(frame, ())
        together = session.run(wanted, feeds)
        backwards = session.run(wanted, {name: values[::-1].copy() for name, values in feeds.items()})
        alone = [
            session.run(wanted, {name: values[row : row + 1] for name, values in feeds.items()})
            for row in range(frame.height)
        ]
        for place in range(len(wanted)):
            single = np.concatenate([answer[place] for answer in alone])
            np.testing.assert_array_equal(together[place].view(np.uint8), single.view(np.uint8))
            np.testing.assert_array_equal(together[place].view(np.uint8), backwards[place][::-1].copy().view(np.uint8))


def _odd(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        hardware=pl.lit("never seen"),
        model_name=pl.Series(["", "a-b-c-d-e-f-7B", "x", "8x7B", None, "70B", "y-FP8", "z"]),
        input_tokens=pl.Series([None, 0.0, 1e9, 3.0, None, 1.0, 2.0, 1e12]),
    )


def test_the_bundle_is_believed_by_the_server_and_answers_in_order(bundle: Path, model: Model) -> None:
    loaded = load(bundle)
    assert [spec.name for spec in loaded.manifest.outputs] == ["quantiles", "point", "outside"]
    assert loaded.manifest.task_key is None
    assert loaded.manifest.interval_levels == (0.1, 0.9)
    assert loaded.golden_ulps == 0
    quantiles, point, outside = loaded.session.run(loaded.example)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert point[0, 0] == quantiles[0, SERVED.index(0.5)]
    assert outside.shape == (1, 1)
    assert set(loaded.manifest.feature_names) == {feature.name for feature in model.fit.described}


def test_extreme_numbers_leave_every_prediction_finite(model: Model, records: TaskRecords) -> None:
    frame = records.frame.head(4).with_columns(
        output_tokens=pl.Series([0.0, 1e12, 1e12, None]),
        batch_size=pl.Series([1e12, 1e12, 0.0, 0.0]),
        num_devices=pl.Series([0.0, 1.0, 1e12, 0.0]),
        memory_bandwidth_gb_s=pl.Series([0.0, 1e12, 0.0, None]),
    )
    quantiles, outside = model.predict(task_records(frame, "extreme"))
    assert np.isfinite(quantiles).all()
    assert (outside > 0).all()
