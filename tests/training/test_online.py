"""Ways of online calibration in a walk: chosen by option, over the same kept predictions."""

from pathlib import Path

import numpy as np
import polars as pl
from click.testing import CliRunner
from jobcast_training.adaptive import ONLINE
from jobcast_training.command.evaluate import evaluate
from jobcast_training.sources.synthetic import generate


def test_every_way_goes_on_from_the_same_kept_predictions(small: Path, tmp_path: Path) -> None:
    jobs, state = tmp_path / "jobs.parquet", tmp_path / "walk"
    generate(2_500, 3, jobs, jobs_per_day=500)
    kept, said = [], {}
    for online in ONLINE:
        out = tmp_path / f"{online}.parquet"
        options = ["--rolling", "--cadence", "2", "--config", str(small), "--state", str(state), "--out", str(out)]
        outcome = CliRunner().invoke(evaluate, ["hpc-runtime", "--data", str(jobs), *options, "--online", online])
        assert outcome.exit_code == 0, outcome.output
        kept.append({path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in state.iterdir()})
        said[online] = pl.read_parquet(out).select(pl.selectors.starts_with("q")).to_numpy()
    assert len(kept[0]) > 1
    assert kept[0] == kept[1] == kept[2], "nothing was fitted again"
    for own in said.values():
        assert np.all(np.diff(own, axis=1) >= 0)
    assert np.mean(said["tracking"] != said["none"]) > 0.9
    assert np.mean(said["agaci"] != said["none"]) > 0.5
    raw = np.concatenate([pl.read_parquet(path).to_numpy() for path in sorted(state.glob("refit-*.parquet"))])
    ordered = np.all(np.diff(raw, axis=1) >= 0, axis=1)
    limit = pl.read_parquet(jobs)["wallclock_req"].to_numpy()[-len(raw) :, None]
    expected = np.clip(np.expm1(raw), 0, limit)
    assert ordered.sum() > 100
    np.testing.assert_allclose(said["none"][ordered], expected[ordered], rtol=1e-12)


def test_an_unknown_way_is_refused_with_those_there_are(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.parquet"
    jobs.touch()
    outcome = CliRunner().invoke(evaluate, ["hpc-runtime", "--data", str(jobs), "--online", "aci"])
    assert outcome.exit_code == 2
    assert "'tracking', 'agaci', 'none'" in outcome.output
