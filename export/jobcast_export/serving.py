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

from jobcast_proto.manifest import InputSpec, Manifest, OutputSpec

CONFIG, SETTINGS = "config.pbtxt", "model-settings.json"
MLSERVER_RUNTIME = "mlserver_onnx.OnnxModel"

_TRITON_TYPES = {"float64": "TYPE_FP64", "float32": "TYPE_FP32", "int64": "TYPE_INT64", "string": "TYPE_STRING"}
_V2_TYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "string": "BYTES"}
_POLICY = re.compile(r"^[ \t]*(version_policy)\s*:?\s*(?=\{)", re.MULTILINE)


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
    """The `version_policy { ... }` block of a `config.pbtxt`, word for word, or None.

    Raises:
        ValueError: its braces do not close.
    """
    found = _POLICY.search(config)
    if found is None:
        return None
    depth = 0
    for position in range(found.end(), len(config)):
        depth += {"{": 1, "}": -1}.get(config[position], 0)
        if depth == 0:
            return config[found.start(1) : position + 1]
    line = config.count("\n", 0, found.start(1)) + 1
    raise ValueError(f"{CONFIG}: line {line}: version_policy: a brace is not closed; mend the block or remove it")


def pinned_versions(policy: str | None) -> list[int]:
    """Versions that a policy names (`specific`), ascending; empty where it names none (`latest`, `all`)."""
    if policy is None or "specific" not in policy:
        return []
    lists = re.findall(r"versions\s*:\s*(\[[\d\s,]*\]|\d+)", policy)
    return sorted({int(number) for text in lists for number in re.findall(r"\d+", text)})


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
    for name in sys.argv[1:]:
        write_serving(Path(name))
