"""The server and the core: golden rows, the way back to onnxruntime's own operator, and what is said of it."""

import json
import re
import subprocess

import grpc
import numpy as np
import open_inference_pb2 as oip
import open_inference_pb2_grpc as rpc
import pytest
from jobcast_server.errors import BundleError
from jobcast_server.repository.bundle import load
from serving import COMMAND, MODELS, end, spawn

TEXT_FOR_A_LIBRARY = """
from pathlib import Path

INTERFACE = 2

def rewrite(model):
    return model + b"\\x42\\x00"  # an empty opset import: not the same bytes, so that the library is wanted

def library_path():
    return __file__

def fuse(model):
    return model

def kernels():
    return []

def features():
    return []

def versions():
    return {}
"""
OLDER = TEXT_FOR_A_LIBRARY.replace("INTERFACE = 2", "")
NO_LIBRARY = "raise ImportError('libsomething.so: cannot open shared object file')\n"


@pytest.fixture
def serve():
    """Start servers with flags and a path to look for modules first; gives what they said, the ready line last."""
    running = []

    def start(*flags, path=""):
        process = spawn(*flags, PYTHONPATH=str(path))
        running.append(process)
        said = []
        for line in process.stderr:
            said.append(json.loads(line) if line.startswith("{") else {"event": line.strip()})
            if said[-1]["event"] == "ready":
                return process, said
        process.wait()
        return process, said

    yield start
    for process in running:
        end(process)


@pytest.fixture
def pretend(tmp_path):
    """A folder with a module `jobcast_core` of the given source."""

    def make(source):
        (tmp_path / "jobcast_core.py").write_text(source)
        return tmp_path

    return make


def test_golden_rows_come_out_with_the_core(folder):
    stock, native = load(folder, trees="stock", allowed_ulps=4), load(folder, trees="native", allowed_ulps=4)
    assert (stock.forest, native.forest) == ("stock", "native")
    assert native.golden_ulps == stock.golden_ulps
    assert len(native.forests) == 1


def test_a_graph_without_trees_is_no_matter_for_the_core(bundles, tmp_path):
    folder = bundles.toy(tmp_path)
    assert load(folder, trees="auto").forest == "stock"
    assert load(folder, trees="native").forest == "stock"


def test_golden_rows_that_do_not_come_out_refuse_the_bundle(bundles, tmp_path):
    folder = bundles.copy(tmp_path)
    bundles.move_golden(folder, 1000)
    for trees in ("auto", "native", "stock"):
        with pytest.raises(BundleError, match="does not answer as when exported"):
            load(folder, trees=trees)


def test_the_server_answers_golden_rows_with_the_core(serve):
    _, said = serve("--forest", "native")
    ready = said[-1]
    assert set(ready["forest"].values()) == {"native"}
    kernels = {line["model"]: line["kernel"] for line in said if line["event"] == "forest"}
    assert kernels.keys() == {name.split("/")[0] for name in ready["forest"]}
    with grpc.insecure_channel(f"127.0.0.1:{ready['port']}") as channel:
        for name, version in (one.split("/") for one in ready["models"]):
            manifest = json.loads((MODELS / name / version / "manifest.json").read_bytes())
            golden = json.loads((MODELS / name / version / "golden.json").read_bytes())
            answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(request(manifest, golden))
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
                wanted = np.array(golden["outputs"][output.name], np.float32).reshape(output.shape)
                found = np.frombuffer(raw, np.float32).reshape(output.shape)
                np.testing.assert_array_almost_equal_nulp(found, wanted, nulp=max(4, ready["golden_ulps"]))


def request(manifest, golden):
    made = oip.ModelInferRequest(model_name=manifest["predictor"])
    for spec in manifest["inputs"]:
        kind = {"string": object, "int64": np.int64, "float64": np.float64}[spec["type"]]
        values = np.array(golden["inputs"][spec["name"]], kind).reshape(-1, *spec["shape"][1:])
        datatype = {"string": "BYTES", "int64": "INT64", "float64": "FP64"}[spec["type"]]
        made.inputs.add(name=spec["name"], datatype=datatype, shape=values.shape)
        texts = [text.encode() for text in values.reshape(-1).tolist()] if kind is object else []
        framed = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        made.raw_input_contents.append(framed if kind is object else values.tobytes())
    return made


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (TEXT_FOR_A_LIBRARY, "invalid ELF header|file too short|not a mach-o|slice"),
        (NO_LIBRARY, "libsomething.so: cannot open"),
        (OLDER, "its interface must be 2, got 0: build it anew"),
    ],
    ids=["no library", "no module", "of another release"],
)
def test_a_broken_core_leaves_the_trees_to_onnxruntime_with_a_warning(serve, pretend, source, reason):
    _, said = serve("--listener", "asyncio", "--engine", "python", path=pretend(source))
    assert set(said[-1]["forest"].values()) == {"stock"}
    warnings = [line for line in said if line["event"] == "trees are computed by onnxruntime"]
    assert {line["level"] for line in warnings} == {"warning"}
    assert len(warnings) == len(said[-1]["models"])
    assert all(re.search(reason, line["reason"]) for line in warnings), warnings


def test_no_core_is_no_fault(serve, pretend):
    _, said = serve(path=pretend("raise ModuleNotFoundError(\"No module named 'jobcast_core'\", name='jobcast_core')"))
    assert set(said[-1]["forest"].values()) == {"stock"}
    told = [line for line in said if line["event"] == "trees are computed by onnxruntime"]
    assert {(line["level"], line["reason"]) for line in told} == {("info", "jobcast_core is not installed")}


def test_a_broken_core_that_is_demanded_ends_the_start(serve, pretend):
    python = ("--listener", "asyncio", "--engine", "python")
    process, said = serve("--forest", "native", *python, path=pretend(TEXT_FOR_A_LIBRARY))
    assert process.returncode == 2
    assert all(line["event"] != "ready" for line in said)
    process, said = serve("--forest", "native", path=pretend(NO_LIBRARY))
    assert process.returncode == 1
    assert "forest: native is not available: jobcast_core does not load: libsomething.so" in said[-1]["event"]


def test_doctor_says_who_computes(tmp_path):
    command = [COMMAND, "doctor", "--models", str(MODELS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert {about["forest"] for about in told["models"].values()} == {"native"}
    assert all(about["kernels"] for about in told["models"].values())
    assert told["core"]["state"] == "loaded"
    assert told["versions"]["onnxruntime"]
    stock = subprocess.run([*command, "--forest", "stock"], capture_output=True, text=True, check=True)
    assert {about["forest"] for about in json.loads(stock.stdout)["models"].values()} == {"stock"}


def test_doctor_names_a_refused_bundle(bundles, tmp_path):
    bundles.flip(bundles.copy(tmp_path))
    command = [COMMAND, "doctor", "--models", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "hpc-runtime/1: refused: " in done.stdout
