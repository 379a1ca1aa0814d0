"""A manifest for people."""

import hashlib
from pathlib import Path

from jobcast_proto.manifest import InputSpec, Manifest

from jobcast_server.output import number, percent, print_facts, print_table, size
from jobcast_server.repository.bundle import LARGEST


def print_sheet(folder: Path, manifest: Manifest) -> None:
    """Print what a version says of itself, and whether its files are those that it names."""
    data = manifest.training_data
    weights = sorted(manifest.ensemble_weights.items(), key=lambda item: -item[1])
    calibration = manifest.calibration
    print_facts(
        [
            ("Model", f"{manifest.predictor} version {manifest.version}"),
            ("Kind", manifest.model_type),
            ("Created", manifest.created),
            ("Trained on", f"{data.source}, {data.start} to {data.end}"),
            ("Rows", f"{data.rows:,} fitted, {data.calibration_rows:,} calibrated, {data.test_rows:,} tested"),
            ("Records", data.sha256),
            ("Left out", ", ".join(f"{count:,} {reason}" for reason, count in data.rejected.items())),
            ("Weights", ", ".join(f"{name} {weight:.2f}" for name, weight in weights)),
            ("Features", str(len(manifest.feature_names))),
            ("Quantiles", ", ".join(f"{level:g}" for level in manifest.quantile_levels)),
            ("Calibration", calibration.method),
            (
                "Interval",
                f"{manifest.interval_levels[0]:g} to {manifest.interval_levels[1]:g}, held "
                f"{percent(calibration.interval_coverage_test)} of the test, promised "
                f"{percent(calibration.interval_coverage_target)}",
            ),
            ("Limit", f"level {manifest.limit_level:g}, held {percent(calibration.limit_coverage_test)} of the test"),
            ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(manifest.libraries.items()))),
        ]
    )
    print_table(
        ("Input", "Type", "Unit", "Needed", "Rule", "Meaning"),
        [
            (spec.name, _type(spec), spec.unit, "yes" if spec.required else "no", rule(spec), spec.description)
            for spec in manifest.inputs
        ],
        "Inputs",
    )
    print_table(
        ("Output", "Type", "Unit", "Meaning"),
        [(spec.name, f"{spec.type} {spec.shape}", spec.unit, spec.description) for spec in manifest.outputs],
        "Outputs",
    )
    print_table(
        ("Metric", "Validation", "Test"),
        [
            (name, number(manifest.validation.get(name)), number(manifest.test.get(name)))
            for name in (manifest.validation | manifest.test)
        ],
        "Metrics",
    )
    print_table(
        ("File", "Size", "SHA-256", "On disk"),
        [(name, *_file(folder, name, expected)) for name, expected in sorted(manifest.files.items())],
        "Files",
    )


def rule(spec: InputSpec) -> str:
    """What a value of an input must be, as in `>= 1, <= 2147483647`."""
    rules = [
        f"> {spec.exclusive_minimum:.15g}" if spec.exclusive_minimum is not None else "",
        f">= {spec.minimum:.15g}" if spec.minimum is not None else "",
        f"<= {spec.maximum:.15g}" if spec.maximum is not None else "",
        f"one of {', '.join(spec.categories)}" if spec.categories else "",
        f"at most {spec.max_length} bytes" if spec.max_length is not None else "",
        f"{spec.missing:g} = not known" if spec.missing is not None else "",
        f"{spec.default!r} if left out" if spec.default is not None else "",
    ]
    return ", ".join(filter(None, rules))


def _type(spec: InputSpec) -> str:
    return spec.type if spec.shape[1:] == [1] else f"{spec.type} {spec.shape}"


def _file(folder: Path, name: str, expected: str) -> tuple[str, str, str]:
    path = folder / name
    if name not in LARGEST or path.is_symlink() or not path.is_file():
        return "", expected, "missing"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == expected
    return size(path.stat().st_size), expected, "the same" if same else "CHANGED"
