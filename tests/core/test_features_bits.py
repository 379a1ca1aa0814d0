"""Fused operators give the bits of onnxruntime's: random graphs, every shipped bundle, rows that are hard on them.

Where both give NaN its sign and payload may differ.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

jobcast_core = pytest.importorskip(
    "jobcast_core", reason="jobcast_core is not built: it needs cargo, then `make install`"
)

SPEC = spec_from_file_location("random_graphs", Path(__file__).parent / "scripts" / "graphs.py")
made = sys.modules["random_graphs"] = module_from_spec(SPEC)
SPEC.loader.exec_module(made)

STAYING = {"hpc-runtime": ["Exp"], "llm-latency": ["Add", "Exp"], "build-memory": ["Exp"]}
ROWS = (1, 2, 31, 32, 33, 256, 1000)


def bits(values):
    if values.dtype.kind != "f":
        return values
    canonical = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return canonical.view(np.uint64 if values.dtype == np.float64 else np.uint32)


class Pair:
    """The same graph by onnxruntime, and with everything that the core computes."""

    def __init__(self, model, fused):
        def session(graph, library=None):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            if library:
                options.register_custom_ops_library(library)
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

        self.stock, self.fused = session(model), session(fused, jobcast_core.library_path())

    def check(self, feeds):
        """Both give the same bits, or both an error."""
        feeds = {item.name: feeds[item.name] for item in self.stock.get_inputs()}
        try:
            wanted = self.stock.run(None, feeds)
        except Exception:  # whatever it is, rows that onnxruntime refuses are refused
            with pytest.raises(Exception, match=r"jobcast\.Features|Invalid|invalid|out of"):
                self.fused.run(None, feeds)
            return
        found = self.fused.run(None, feeds)
        for item, one, other in zip(self.stock.get_outputs(), wanted, found, strict=True):
            assert (other.shape, other.dtype) == (one.shape, one.dtype), item.name
            np.testing.assert_array_equal(bits(other), bits(one), err_msg=item.name)


@settings(max_examples=200, deadline=None)
@given(grown=made.graphs(), seed=st.integers(0, 10**6), count=st.sampled_from([0, 1, 2, 3, 5, 31, 32, 33, 70, 300]),
       opset=st.sampled_from([20, 21]))  # fmt: skip
def test_any_graph(grown, seed, count, opset):
    graph, outputs = grown
    if outputs:
        model = graph.bytes(outputs, opset)
        if count == 0 and any(node.op_type.startswith("Re") for node in graph.nodes):
            count = 1  # of nothing, onnxruntime cannot tell an open size, and gives reductions the shape of their input
        Pair(model, jobcast_core.fuse(model)).check(made.rows(seed, count))


@pytest.fixture(scope="module")
def both(folder):
    model = (folder / "model.onnx").read_bytes()
    return Pair(model, jobcast_core.fuse(jobcast_core.rewrite(model)))


@pytest.fixture(scope="module")
def rows(folder):
    """Rows of a bundle: golden ones with a tenth of all values replaced by special ones."""
    golden = json.loads((folder / "golden.json").read_bytes())["inputs"]
    specs = json.loads((folder / "manifest.json").read_bytes())["inputs"]
    kinds = {"string": (object, made.TEXTS), "int64": (np.int64, made.LONGS), "float64": (np.float64, made.NUMBERS)}

    def draw(seed, count, share=0.1):
        random = np.random.default_rng(seed)
        feeds = {}
        for spec in specs:
            kind, special = kinds[spec["type"]]
            known = np.array(golden[spec["name"]], kind).reshape(-1, *spec["shape"][1:])
            values = known[random.integers(0, len(known), count)]
            places = random.random(values.shape) < share
            values[places] = random.choice(np.array(special, kind), int(places.sum()))
            feeds[spec["name"]] = values
        return feeds

    return draw


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_a_shipped_bundle(both, rows, share):
    for count in ROWS:
        both.check(rows(count, count, share))
    for seed in range(150):
        both.check(rows(seed, 1, share))


def test_long_texts(both, rows, folder):
    feeds = rows(0, 40)
    for spec in json.loads((folder / "manifest.json").read_bytes())["inputs"]:
        if spec["type"] == "string":
            feeds[spec["name"]][::3] = "x-" * 5000 + "tést"
    both.check(feeds)


def test_no_row(both, rows):
    try:
        both.stock.run(None, rows(0, 0))
    except Exception:
        pytest.skip("onnxruntime does not take this graph without rows")
    both.check(rows(0, 0))


def test_threads_do_not_disturb_each_other(both, rows):
    feeds = [rows(seed, count) for seed, count in enumerate([1, 1, 1, 40, 40, 100])]
    alone = [both.fused.run(None, one) for one in feeds]
    with ThreadPoolExecutor(4) as pool:
        for at, found in enumerate(pool.map(lambda at: both.fused.run(None, feeds[at % len(feeds)]), range(600))):
            for one, other in zip(alone[at % len(feeds)], found, strict=True):
                np.testing.assert_array_equal(bits(other), bits(one))


def test_what_stays_of_a_shipped_bundle(folder):
    fused = jobcast_core.fuse(jobcast_core.rewrite((folder / "model.onnx").read_bytes()))
    nodes = onnx.load_from_string(fused).graph.node
    staying = sorted(node.op_type for node in nodes if node.domain != "jobcast" and node.op_type != "Identity")
    assert staying == STAYING[folder.parent.name]
    assert sum(node.op_type == "Identity" for node in nodes) == 0


def graph_of(nodes, outputs, constants=()):
    graph = made.Graph(dict(made.INPUTS), list(nodes))
    graph.values |= outputs
    for name, array in constants:
        graph.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return graph.bytes(list(outputs))


def test_rows_that_differ_between_inputs_are_an_error():
    nodes = [helper.make_node("Add", ["e", "d"], ["a"]), helper.make_node("Abs", ["a"], ["y"])]
    model = graph_of(nodes, {"y": (made.DOUBLE, (3,))})
    feeds = {**made.rows(0, 4), "e": np.ones((1, 1))}
    with pytest.raises(Exception, match=r"jobcast.Features: input 1 must be Double \[1, \[3\]\]"):
        Pair(model, jobcast_core.fuse(model)).fused.run(None, {name: feeds[name] for name in made.INPUTS})


def test_an_index_out_of_its_table_is_an_error():
    nodes = [helper.make_node("Neg", ["i"], ["n"]), helper.make_node("Gather", ["table", "n"], ["y"])]
    model = graph_of(nodes, {"y": (made.DOUBLE, (2, 1))}, [("table", np.ones((3, 1)))])
    pair = Pair(model, jobcast_core.fuse(model))
    feeds = made.rows(0, 2)
    pair.check({**feeds, "i": np.array([[0, -1], [-2, 3]])})
    with pytest.raises(Exception, match=r"jobcast.Features: index -4 is out of a table of 3 rows"):
        pair.fused.run(None, {**feeds, "i": np.array([[0, -1], [4, 0]])})


def test_a_piece_that_no_row_has_is_an_error():
    nodes = [helper.make_node("StringSplit", ["t"], ["p", "n"], delimiter=","),
             helper.make_node("Gather", ["p", "at"], ["q"], axis=2),
             helper.make_node("RegexFullMatch", ["q"], ["y"], pattern=".*b")]  # fmt: skip
    model = graph_of(nodes, {"y": (made.BOOL, (2, 1))}, [("at", np.array([1]))])
    pair = Pair(model, jobcast_core.fuse(model))
    feeds = made.rows(0, 40)
    texts = np.full((40, 2), "a", object)
    with pytest.raises(Exception, match=r"jobcast.Features: index 1 is out of 1 pieces"):
        pair.fused.run(None, {**feeds, "t": texts})
    pair.check({**feeds, "t": texts})
    texts[39, 1] = "a,b"
    pair.check({**feeds, "t": texts})


@pytest.mark.parametrize("broken", ["type", "outputs", "graph"])
def test_a_node_that_does_not_fit_its_graph_is_refused(broken):
    nodes = [helper.make_node("Add", ["e", "d"], ["a"]), helper.make_node("Abs", ["a"], ["y"])]
    model = onnx.load_from_string(jobcast_core.fuse(graph_of(nodes, {"y": (made.DOUBLE, (3,))})))
    (node,) = model.graph.node
    if broken == "type":
        model.graph.output[0].type.tensor_type.elem_type = made.FLOAT
    elif broken == "outputs":
        node.output.append("z")
        model.graph.value_info.append(helper.make_tensor_value_info("z", made.DOUBLE, [None, 3]))
    else:
        node.attribute[0].s = node.attribute[0].s[:-3]
    with pytest.raises(Exception, match=r"jobcast.Features"):
        Pair(graph_of(nodes, {"y": (made.DOUBLE, (3,))}), model.SerializeToString())
