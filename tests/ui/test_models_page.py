"""The models page run without a browser against a real server: what it shows is what the server tells and answers."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jobcast import InferenceClient, Records
from jobcast_ui.place import Place, current

COLUMNS = ("prompt_tokens", "output_tokens", "submit_time", "model", "latency_ms")


def table(page: Any, column: str) -> pd.DataFrame:
    return next(one.value for one in page.dataframe if column in one.value)


def at(served: Any, **more: Any) -> Place:
    return Place(served.address, served.rest, served.metrics, **more)


@pytest.fixture
def two(start: Callable[..., Any], bundles: Any, tmp_path: Path) -> Any:
    """A server of two versions of a tiny predictor, the second of which answers twice as much."""
    repository = tmp_path / "models"
    bundles.toy(repository, 1)
    bundles.toy(repository, 2, scale=2.0)
    bundles.flip(bundles.toy(repository, 3))
    (repository / "toy-latency" / "README.md").write_text("# A toy\n\nAnswers by a *fixed* rule.\n")
    return start("--version-policy", "all", models=repository)


def test_versions_are_listed_with_their_states_and_reasons(two: Any, opened: Callable[..., Any]) -> None:
    page = opened("models", at(two))
    assert not page.exception
    with InferenceClient(two.address) as client:
        listed = client.models()
    shown = table(page, "reason")
    assert shown.values.tolist() == [[one.name, one.version, one.state, one.reason] for one in listed]
    assert any("model.onnx" in reason for reason in shown["reason"])


def test_a_version_shows_its_own_manifest_and_card(two: Any, opened: Callable[..., Any]) -> None:
    page = opened("models", at(two))
    page.selectbox(key="models-version").set_value("1").run()
    with InferenceClient(two.address) as client:
        manifest = client.manifest("toy-latency", "1")
    metrics = table(page, "key").set_index("key")
    assert metrics["test"].to_dict() == pytest.approx(manifest.test)
    assert metrics.loc["mae", "unit"] == "ms"
    data = table(page, "fact")
    assert manifest.training_data.sha256 in data["value"].tolist()
    assert table(page, "typical")["input"].tolist() == [spec.name for spec in manifest.inputs]
    assert any("Answers by a *fixed* rule." in one.value for one in page.markdown)
    page.selectbox(key="models-version").set_value("2").run()
    assert table(page, "key").set_index("key").loc["mae", "test"] == 24.0


def test_the_diagram_of_a_bundle_has_its_figures_and_says_what_is_missing(
    start: Callable[..., Any], bundles: Any, opened: Callable[..., Any], tmp_path: Path
) -> None:
    def tells_less(manifest: dict[str, Any]) -> None:
        for part in ("test", "validation"):
            levels = [key for key in manifest[part] if key.startswith("below_") and key != "below_90"]
            for key in levels:
                del manifest[part][key]

    bundles.edit(bundles.copy(tmp_path / "models"), tells_less)
    served = start(models=tmp_path / "models")
    page = opened("models", at(served))
    with InferenceClient(served.address) as client:
        manifest = client.manifest("hpc-runtime")
    captions = " ".join(one.value for one in page.caption)
    assert f"test, {manifest.training_data.test_rows:,} outcomes" in captions
    assert any("tells the levels 0.9, 0.95 alone" in one.value for one in page.info)


def test_the_diagram_of_a_shipped_bundle_is_whole(opened: Callable[..., Any]) -> None:
    page = opened("models")
    page.selectbox(key="models-model").set_value("build-memory").run()
    with InferenceClient(current().address) as client:
        manifest = client.manifest("build-memory")
    captions = " ".join(one.value for one in page.caption)
    assert f"test, {manifest.training_data.test_rows:,} outcomes" in captions
    assert not any("alone" in one.value for one in page.info)


def file_of(rows: int) -> tuple[bytes, list[dict[str, Any]]]:
    random = np.random.default_rng(5)
    records = [
        {
            "prompt_tokens": int(random.integers(1, 4000)), "output_tokens": int(random.integers(1, 900)),
            "submit_time": 1_700_000_000 + row, "model": str(random.choice(["small", "large"])),
            "latency_ms": round(float(random.gamma(4, 300)), 3),
        }
        for row in range(rows)
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode(), records


def compared(page: Any, content: bytes) -> Any:
    page.selectbox(key="compare-first").set_value("toy-latency version 1")
    page.selectbox(key="compare-second").set_value("toy-latency version 2")
    page.file_uploader(key="compare-file").set_value(("outcomes.csv", content, "text/csv")).run()
    return page.button(key="compare-go").click().run()


def test_a_comparison_is_that_of_the_servers_answers(two: Any, opened: Callable[..., Any]) -> None:
    content, records = file_of(60)
    page = compared(opened("models", at(two)), content)
    assert not page.exception
    assert [one.value for one in page.error] == []
    shown = table(page, "figure").set_index("figure")
    outcomes = np.array([record["latency_ms"] for record in records])
    with InferenceClient(two.address) as client:
        for version in ("1", "2"):
            schema, _ = client.schema("toy-latency", version)
            batch = Records(schema.inputs).read(
                [{k: v for k, v in one.items() if k != "latency_ms"} for one in records]
            )
            answer = client.infer(schema, batch)
            points, quantiles = np.ravel(answer["point"]), np.array(answer["quantiles"])
            own = shown[f"toy-latency version {version}"]
            assert own["rows"] == 60
            assert own["MAE"] == pytest.approx(np.abs(outcomes - points).mean(), rel=1e-12)
            assert own["median AE"] == pytest.approx(np.median(np.abs(outcomes - points)), rel=1e-12)
            inside = (quantiles[:, 0] <= outcomes) & (outcomes <= quantiles[:, 2])
            assert own["interval covers"] == inside.mean()
            assert own["limit held"] == np.mean(outcomes <= quantiles[:, 2])
            assert np.isnan(own["pinball 0.1"])
    first, second = (shown[f"toy-latency version {version}"]["MAE"] for version in (1, 2))
    assert first != second
    assert any("outcomes from column latency_ms x 1" in one.value for one in page.caption)


def test_rows_that_cannot_be_read_are_left_out_of_both_and_counted(two: Any, opened: Callable[..., Any]) -> None:
    content, records = file_of(10)
    lines = content.decode().splitlines()
    lines[3] = lines[3].replace(str(records[2]["prompt_tokens"]), "-5", 1)
    lines[5] = lines[5].rsplit(",", 1)[0] + ",none"
    page = compared(opened("models", at(two)), "\n".join(lines).encode())
    assert table(page, "figure").set_index("figure").loc["rows"].drop("unit").tolist() == [8, 8]
    assert any("left out: 1 outcome is no number >= 0, 1 " in one.value for one in page.markdown)


def test_a_comparison_needs_one_unit(opened: Callable[..., Any]) -> None:
    content, _ = file_of(3)
    page = opened("models")
    page.selectbox(key="compare-first").set_value("hpc-runtime version 1")
    page.selectbox(key="compare-second").set_value("llm-latency version 1")
    page.file_uploader(key="compare-file").set_value(("outcomes.csv", content, "text/csv")).run()
    assert not page.exception
    assert any("same unit to be compared, got s and ms" in one.value for one in page.code)
