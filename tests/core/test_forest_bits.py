"""The core's operator gives the bits of onnxruntime's: every shipped ensemble, every batch size, every kind of row."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_export.forest import LEAF, Forest
from jobcast_export.parity import missing_rows, threshold_rows
from onnx import helper

BATCHES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300, 1000, 5000)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


def attributes_of(node):
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


@pytest.fixture(scope="module")
def splits(ensemble):
    """The ensemble's tests, as a forest that knows nothing else."""
    told = attributes_of(ensemble)
    leaf = np.array([mode == b"LEAF" for mode in told["nodes_modes"]])
    count = len(leaf)
    nothing = np.zeros(count, np.int64)
    feature = np.where(leaf, LEAF, np.array(told["nodes_featureids"])).astype(np.int32)
    threshold = np.array(told["nodes_values"], np.float32)
    return Forest(nothing[:1], feature, threshold, nothing, nothing, leaf, np.zeros((1, 1)), np.zeros(1))


@pytest.fixture(scope="module")
def width(splits):
    return int(splits.feature.max()) + 1


@pytest.fixture(scope="module")
def both(pair, alone, ensemble, width):
    return pair(alone(ensemble, width))


@pytest.fixture(scope="module")
def rows(splits, width):
    """Rows that go everywhere: features near thresholds, a tenth of them missing, some infinite."""
    random = np.random.default_rng(20)
    made = np.empty((max(BATCHES), width), np.float32)
    for column in range(width):
        known = splits.threshold[splits.feature == column]
        picked = random.choice(known, len(made)) if len(known) else random.normal(size=len(made))
        made[:, column] = picked + random.integers(-1, 2, len(made)) * random.exponential(0.1, len(made))
    made[random.random(made.shape) < 0.1] = np.nan
    made[random.random(made.shape) < 0.01] = np.inf
    made[random.random(made.shape) < 0.01] = -np.inf
    return made


@pytest.mark.parametrize("size", BATCHES)
def test_batches(both, ensemble, rows, size):
    both.check({ensemble.input[0]: rows[:size]})


def test_every_batch_size_to_300_gives_a_row_the_same_bits(both, ensemble, rows):
    (whole,) = both.native.run(None, {ensemble.input[0]: rows[:300]})
    for size in range(1, 300):
        (some,) = both.native.run(None, {ensemble.input[0]: rows[:size]})
        assert some.tobytes() == whole[:size].tobytes(), size


def test_rows_on_and_beside_every_threshold(both, ensemble, splits, rows):
    whole = rows[np.isfinite(rows).all(axis=1)]
    base = whole if len(whole) else np.nan_to_num(rows[:200])
    made = threshold_rows(splits, base)
    assert len(made) > 2 * len(splits.splits()[0])
    both.check({ensemble.input[0]: made})


def test_rows_with_each_feature_missing(both, ensemble, rows):
    both.check({ensemble.input[0]: missing_rows(np.nan_to_num(rows[:50]))})


def test_no_row(both, ensemble, width):
    both.check({ensemble.input[0]: np.empty((0, width), np.float32)})


def test_the_whole_graph(pair, folder):
    both = pair((folder / "model.onnx").read_bytes())
    golden = json.loads((folder / "golden.json").read_bytes())["inputs"]
    random = np.random.default_rng(3)
    for size in (1, 2, 17, 64, 300):
        feeds = {}
        for spec in json.loads((folder / "manifest.json").read_bytes())["inputs"]:
            kind = {"string": object, "int64": np.int64, "float64": np.float64}[spec["type"]]
            known = np.array(golden[spec["name"]], kind).reshape(-1, *spec["shape"][1:])
            feeds[spec["name"]] = known[random.integers(0, len(known), size)]
        both.check(feeds)


@st.composite
def forests(draw):
    """Attributes of a small ensemble with every mode, and rows that meet its thresholds."""
    features, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    value = st.floats(width=32, min_value=-4, max_value=4, allow_subnormal=False).map(lambda x: round(x * 4) / 4)
    weight = st.floats(width=32, min_value=-100, max_value=100)
    names = ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"]
    names.append("missing_value_tracks_true")
    nodes = {name: [] for name in names}
    targets = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    several = draw(st.booleans())

    def grow(tree, depth):
        place = len(nodes["treeids"])
        number = place - begin
        leaf = depth == 0 or (depth < 4 and draw(st.integers(0, 5)) == 0)
        mode = "LEAF" if leaf else draw(st.sampled_from(MODES if several else MODES[:1]))
        told = (tree, number, draw(st.integers(0, features - 1)), mode, draw(value), 0, 0, draw(st.integers(0, 1)))
        for name, item in zip(names, told, strict=True):
            nodes[name].append(item)
        if leaf:
            # the first tree lists every output: onnxruntime adds a base value only to what a leaf contributes to
            every = range(outputs) if tree == 0 else draw(st.sets(st.integers(0, outputs - 1), min_size=1))
            for output in every:
                for name, item in zip(targets, (tree, number, output, draw(weight)), strict=True):
                    targets[name].append(item)
            return number
        nodes["truenodeids"][place] = grow(tree, depth - 1)
        nodes["falsenodeids"][place] = grow(tree, depth - 1)
        return number

    for tree in range(draw(st.integers(1, 3))):
        begin = len(nodes["treeids"])
        grow(tree, draw(st.integers(0, 5)))
    base = draw(st.lists(weight, min_size=outputs, max_size=outputs))
    told = {f"nodes_{name}": values for name, values in nodes.items()}
    told |= {f"target_{name}": values for name, values in targets.items()}
    cell = st.one_of(value, st.sampled_from([np.nan, np.inf, -np.inf, -0.0]))
    rows = draw(st.lists(st.lists(cell, min_size=features, max_size=features), min_size=1, max_size=9))
    return told | {"base_values": base, "n_targets": outputs}, np.array(rows, np.float32)


@settings(max_examples=60, deadline=None)
@given(made=forests())
def test_any_ensemble(pair, alone, made):
    attributes, rows = made
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["trees"], domain="ai.onnx.ml", **attributes)
    pair(alone(node, rows.shape[1])).check({"features": rows})
