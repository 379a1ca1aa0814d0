"""The models page in a real browser: a version is looked at, and two are compared on a file."""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from jobcast import InferenceClient, Records
from jobcast_ui.amounts import figure


def chosen(page: Any, label: str, value: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    box.click()
    page.get_by_role("option", name=value, exact=True).click()


def builds(rows: int) -> tuple[bytes, list[dict[str, Any]]]:
    random = np.random.default_rng(6)
    records = [
        {"build_profile": "linuxx86_64-gcc-release", "branch": f"branch_{row % 4}", "component": f"component_{row % 9}",
         "jobs": 500, "requested_memory": 160, "time": 1_750_000_000 + 60 * row}
        for row in range(rows)
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, [*records[0], "peak_memory_gib"])
    writer.writeheader()
    writer.writerows({**one, "peak_memory_gib": round(float(random.gamma(9, 8)), 2)} for one in records)
    return text.getvalue().encode(), records


def test_a_version_is_told_with_its_pictures(server: Any, app: Any, page: Any, shot: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1280, "height": 1750})
    page.goto(f"{app.url}/models")
    chosen(page, "Model", "hpc-runtime")
    with InferenceClient(server.address) as client:
        manifest, card = client.manifest("hpc-runtime"), client.card("hpc-runtime")
    expect(page.get_by_text(f"hpc-runtime version 1: {manifest.model_type}")).to_be_visible()
    expect(page.get_by_text(f"test, {manifest.training_data.test_rows:,} outcomes:")).to_be_visible()
    first, share = max(manifest.importances.items(), key=lambda item: item[1])
    expect(page.get_by_text(f"The first: {first} {figure(100 * share)} %")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)
    title = card.splitlines()[0].removeprefix("# ")
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    shot(page, "models")


def test_two_are_compared_on_a_file(server: Any, app: Any, page: Any, shot: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 1500})
    page.emulate_media(color_scheme="dark")
    content, records = builds(120)
    page.goto(f"{app.url}/models")
    page.get_by_role("tab", name="Compare two on a file").click()
    for label in ("First", "Second"):
        chosen(page, label, "build-memory version 1")
    page.locator("input[type=file]").set_input_files({"name": "builds.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("120 rows count; none was left out.")).to_be_visible()
    outcomes = np.array([float(line.rsplit(b",", 1)[1]) for line in content.splitlines()[1:]])
    with InferenceClient(server.address) as client:
        schema, _ = client.schema("build-memory")
        quantiles = np.array(client.infer(schema, Records(schema.inputs).read(records))["quantiles"])
    shares = (outcomes[:, None] <= quantiles).mean(axis=0)
    levels = np.array(schema.quantile_levels)
    off = int(np.abs(shares - levels).argmax())
    told = f"farthest off: {levels[off]:.4g} promised, {shares[off]:.4g} held"
    expect(page.get_by_text(told).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "compare-narrow-dark")
