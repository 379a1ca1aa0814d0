"""How other servers load a predictor's folder: `config.pbtxt` for Triton, `model-settings.json` for MLServer.

Both are pure functions of a manifest, beside a version policy that `config.pbtxt` already holds: a rollback pins
versions there, and no export lifts the pin. They describe the version that is served then: the highest pinned one, or
else the newest.

`python -m jobcast_export.serving models/hpc-runtime` writes both anew.
"""

import json
import re
import sys
from pathlib import Path

import open_inference_pb2 as oip
from google.protobuf import text_format
from jobcast_proto.manifest import InputSpec, Manifest, OutputSpec

CONFIG, SETTINGS = "config.pbtxt", "model-settings.json"
MLSERVER_RUNTIME = "mlserver_onnx.OnnxModel"

_TRITON_TYPES = {"float64": "TYPE_FP64", "float32": "TYPE_FP32", "int64": "TYPE_INT64", "string": "TYPE_STRING"}
_V2_TYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "string": "BYTES"}
_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[{}<>\[\]]|\w+|.""", re.DOTALL)


def triton_config(manifest: Manifest, policy: str | None = None) -> str:
    """Return `config.pbtxt` for Triton's ONNX Runtime backend; Triton adds the batch dimension itself.

    No input is `optional`: the backend runs the graph as it is, and the graph needs every input (NaN or '' where a
    value is not known).
    `policy` is a `version_policy` block to keep, word for word.
    """

    def tensor(name: str, kind: str, shape: list[int]) -> str:
        return f'  {{ name: "{name}" data_type: {_TRITON_TYPES[kind]} dims: {shape[1:]} }}'

    inputs = ",\n".join(tensor(spec.name, spec.type, spec.shape) for spec in manifest.inputs)
    outputs = ",\n".join(tensor(spec.name, spec.type, spec.shape) for spec in manifest.outputs)
    return (
        f'name: "{manifest.predictor}"\nbackend: "onnxruntime"\nmax_batch_size: 10000\n'
        f"{policy + chr(10) if policy else ''}"
        f"input [\n{inputs}\n]\noutput [\n{outputs}\n]\n"
    )


def model_settings(manifest: Manifest) -> str:
    """Return `model-settings.json` for MLServer; it names one version, since MLServer reads no versions from folders.

    The implementation is a module outside the folder (a bundle holds no code): it must lie on MLServer's PYTHONPATH.
    """

    def tensor(spec: InputSpec | OutputSpec) -> dict[str, object]:
        return {"name": spec.name, "datatype": _V2_TYPES[spec.type], "shape": spec.shape}

    settings = {
        "name": manifest.predictor,
        "implementation": MLSERVER_RUNTIME,
        "platform": "onnxruntime_onnx",
        "inputs": [tensor(spec) for spec in manifest.inputs],
        "outputs": [tensor(spec) for spec in manifest.outputs],
        "parameters": {"uri": f"./{manifest.version}/model.onnx", "version": str(manifest.version)},
    }
    return json.dumps(settings, indent=1) + "\n"


def version_policy(config: str) -> str | None:
    """The `version_policy { ... }` block of a `config.pbtxt` itself, word for word with its comments, or None.

    Raises:
        ValueError: the text is not a model configuration.
    """
    _parsed(config)
    depth, start = 0, None
    for found in _TOKEN.finditer(config):
        token = found[0]
        if token in ("{", "<", "["):
            depth += 1
        elif token in ("}", ">", "]"):
            depth -= 1
            if depth == 0 and start is not None:
                return config[start : found.end()]
        elif depth == 0 and token == "version_policy":  # noqa: S105 - no secret
            start = found.start()
    return None


def pinned_versions(policy: str | None) -> list[int]:
    """Versions that a policy names (`specific`), ascending; empty where it names none (`latest`, `all`)."""
    return sorted(set(_parsed(policy or "").version_policy.specific.versions))


def _parsed(config: str) -> oip.ModelConfig:
    parsed = oip.ModelConfig()
    try:
        text_format.Parse(config, parsed, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise ValueError(f"{CONFIG}: is not a model configuration: {error}") from None
    return parsed


def kept_policy(home: Path) -> str | None:
    """The version policy that the folder's `config.pbtxt` holds, if there is one; raises ValueError as above."""
    path = home / CONFIG
    return version_policy(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_serving(home: Path) -> list[int]:
    """Write both files for the versions in `home`, keeping its version policy; return the versions it pins.

    Raises:
        FileNotFoundError: there is no version.
        ValueError: the present version policy cannot be read.
    """
    policy = kept_policy(home)
    pinned = pinned_versions(policy)
    present = [
        int(path.name) for path in home.iterdir() if path.name.isdecimal() and (path / "manifest.json").is_file()
    ]
    served = max([number for number in pinned if number in present] or present, default=None)
    if served is None:
        raise FileNotFoundError(f"{home.name}: holds no version, that is, no folder such as 1/ with a manifest.json")
    manifest = Manifest.model_validate_json((home / str(served) / "manifest.json").read_bytes())
    (home / CONFIG).write_text(triton_config(manifest, policy), encoding="utf-8")
    (home / SETTINGS).write_text(model_settings(manifest), encoding="utf-8")
    return pinned


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("give the folder of a model, such as: python -m jobcast_export.serving models/hpc-runtime")
    for name in sys.argv[1:]:
        try:
            write_serving(Path(name))
        except (OSError, ValueError) as error:
            sys.exit(f"{name}: {error}")
