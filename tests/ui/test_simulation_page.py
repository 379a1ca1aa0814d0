"""A log replayed on the page, without a browser, against a real server: its numbers follow from the server's answers,
and from no outcome before its time."""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jobcast import InferenceClient
from jobcast_ui.amounts import figure
from jobcast_ui.place import Place, current
from jobcast_ui.simulation.log import MOST
from jobcast_ui.simulation.page import SPEEDS, STATE, Session


def told(page: Any) -> dict[str, str]:
    return {one.label: one.value for one in page.metric}


def table(page: Any, column: str) -> pd.DataFrame:
    return next(one.value for one in page.dataframe if column in one.value)


def loaded(opened: Callable[..., Any], model: str, at: Place | None = None) -> Any:
    page = opened("simulation", at)
    page.selectbox(key="simulation-model").set_value(model).run()
    page.button(key="simulation-load").click().run()
    assert not page.exception
    assert [one.value for one in page.error] == []
    return page


def answered(session: Session, jobs: int) -> dict[str, np.ndarray]:
    """What the server says of the first jobs, asked in one request of its own."""
    with InferenceClient(current().address) as client:
        return {
            name: np.array(rows)
            for name, rows in client.infer(session.replay.schema, session.replay.batch(0, jobs)).items()
        }


def test_a_step_shows_one_job_more_and_nothing_of_its_end(opened: Callable[..., Any]) -> None:
    page = loaded(opened, "hpc-runtime")
    assert (told(page)["Submitted"], told(page)["Ended"]) == ("1", "0")
    page.button(key="simulation-step").click().run()
    session: Session = page.session_state[STATE]
    log = session.replay.log
    assert session.clock.now == log.submit[1]
    assert told(page)["Submitted"] == "2"
    latest = table(page, "actual")
    assert latest["job"].tolist() == [2, 1]
    ended = log.end[:2] <= log.submit[1]
    assert [text != "not known yet" for text in latest["actual"]] == ended[::-1].tolist()
    outputs = answered(session, 2)
    assert latest["point, s"].tolist() == outputs["point"][::-1, 0].tolist()
    assert latest["to, s"].tolist() == outputs["quantiles"][::-1, -1].tolist()


def test_standing_in_the_log_it_counts_what_had_ended_alone(opened: Callable[..., Any]) -> None:
    page = loaded(opened, "hpc-runtime")
    page.slider(key="simulation-seek").set_value(40.0).run()
    session: Session = page.session_state[STATE]
    log, now = session.replay.log, session.clock.now
    assert now == pytest.approx(log.submit[0] + 0.4 * (log.end.max() - log.submit[0]))
    submitted = int((log.submit <= now).sum())
    ended = log.end[:submitted] <= now
    assert 0 < ended.sum() < submitted < log.jobs
    assert session.replay.done == submitted  # nothing that lies ahead was asked for
    outputs = answered(session, submitted)
    quantiles, actual = outputs["quantiles"], log.actual[:submitted]
    covered = (quantiles[:, 0] <= actual) & (actual <= quantiles[:, -1])
    limit = quantiles[:, session.replay.schema.quantile_levels.index(0.95)]
    nodes = np.array(log.batch.columns["nodes_req"])[:submitted]
    request = np.array(log.batch.columns["wallclock_req"])[:submitted]
    shown = told(page)
    assert (shown["Submitted"], shown["Ended"]) == (str(submitted), str(ended.sum()))
    assert shown["95% interval covered"] == f"{100 * covered[ended].mean():.1f} %"
    assert shown["Limit held (0.95 promised)"] == f"{100 * (actual <= limit)[ended].mean():.1f} %"
    waste = (np.maximum(limit - actual, 0) * nodes / 3600)[ended].sum()
    assert shown["Waste, node-hours"] == figure(waste)
    assert shown["Shortfall, node-hours"] == figure((np.maximum(actual - limit, 0) * nodes / 3600)[ended].sum())
    asked = (np.maximum(request - actual, 0) * nodes / 3600)[ended].sum()
    assert shown["Waste of the requests, node-hours"] == figure(asked)


def covered_up_to(quantiles: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    return (quantiles[:, 0] <= outcomes) & (outcomes <= quantiles[:, -1])


def test_jobs_beyond_their_request_are_told_and_counted_up_to_it_as_well(opened: Callable[..., Any]) -> None:
    lines = ["submit_time,user,processors_req,nodes_req,wallclock_req,partition,qos,run_time"]
    lines += [f"{1_700_000_000 + 900 * row},u,1,2,600,p,q,{'650' if row % 4 == 0 else '300'}" for row in range(40)]
    page = opened("simulation")
    page.selectbox(key="simulation-model").set_value("hpc-runtime").run()
    page.radio(key="simulation-kind-2").set_value("A file").run()
    page.file_uploader(key="simulation-file").set_value(("log.csv", "\n".join(lines).encode(), "text/csv")).run()
    page.button(key="simulation-load").click().run()
    page.slider(key="simulation-seek").set_value(100.0).run()
    quantiles = answered(page.session_state[STATE], 40)["quantiles"]
    actual = np.array([650.0 if row % 4 == 0 else 300.0 for row in range(40)])
    observed, capped = (covered_up_to(quantiles, outcomes).mean() for outcomes in (actual, np.minimum(actual, 600)))
    assert observed < capped
    assert told(page)["95% interval covered"] == f"{100 * observed:.1f} %"
    said = f"10 of them took more than they requested; counted up to it, the interval covered {100 * capped:.1f} %"
    assert any(said in one.value for one in page.caption)


def test_going_back_shows_what_was_known_then(opened: Callable[..., Any]) -> None:
    page = loaded(opened, "hpc-runtime")
    page.slider(key="simulation-seek").set_value(20.0).run()
    before = told(page)
    page.slider(key="simulation-seek").set_value(80.0).run()
    assert told(page) != before
    page.slider(key="simulation-seek").set_value(20.0).run()
    assert told(page) == before
    page.button(key="simulation-start").click().run()
    assert told(page)["Submitted"] == "1"


def test_playing_lets_time_go_on_until_it_is_paused_or_done(opened: Callable[..., Any]) -> None:
    page = loaded(opened, "hpc-runtime")
    assert page.selectbox(key="simulation-speed").value == "1 h per second"
    page.button(key="simulation-play").click().run()
    first = page.session_state[STATE].clock
    page.run()
    assert page.session_state[STATE].clock.now > first.now
    page.button(key="simulation-pause").click().run()
    stood = page.session_state[STATE].clock.now
    page.run()
    assert page.session_state[STATE].clock.now == stood
    page.selectbox(key="simulation-speed").set_value("1 week per second").run()
    page.button(key="simulation-play").click().run()
    while not page.session_state[STATE].clock.done:
        page.run()
    assert told(page)["Submitted"] == told(page)["Ended"] == str(page.session_state[STATE].replay.log.jobs)
    assert page.button(key="simulation-play").disabled
    assert page.session_state[STATE].clock.speed == SPEEDS["1 week per second"]


def test_presets_are_reckoned_from_the_servers_answers(opened: Callable[..., Any]) -> None:
    page = loaded(opened, "build-memory")
    page.slider(key="simulation-seek").set_value(70.0).run()
    session: Session = page.session_state[STATE]
    log, now = session.replay.log, session.clock.now
    submitted = int((log.submit <= now).sum())
    ended = log.end[:submitted] <= now
    outputs, levels = answered(session, submitted), session.replay.schema.quantile_levels
    used, hours = log.actual[:submitted][ended], log.hours[:submitted][ended]
    shown = table(page, "preset").set_index("preset")
    for name, given in (
        ("balanced", outputs["allocation"][ended, 0]),
        ("low waste", outputs["quantiles"][ended, levels.index(0.95)]),
        ("low under-allocation", outputs["quantiles"][ended, levels.index(0.99)]),
    ):
        row = shown.loc[name]
        assert row["jobs with too little, %"] == pytest.approx(100 * np.mean(given < used), rel=1e-12)
        assert row["in vain, % of use"] == pytest.approx(
            100 * np.maximum(given - used, 0).sum() / used.sum(), rel=1e-12
        )
        assert row["waste, GiB-hours"] == pytest.approx((np.maximum(given - used, 0) * hours).sum(), rel=1e-12)
        assert row["shortfall, GiB-hours"] == pytest.approx((np.maximum(used - given, 0) * hours).sum(), rel=1e-12)
    assert told(page)["Waste, GiB-hours"] == figure(shown.loc["balanced", "waste, GiB-hours"])
    assert (
        shown.loc["low under-allocation", "jobs with too little, %"]
        <= shown.loc["low waste", "jobs with too little, %"]
    )


def test_a_file_is_replayed_with_what_its_columns_stand_for(opened: Callable[..., Any]) -> None:
    rows = [{"User": f"u{row % 3}", "Submit": 1_700_000_000 + 60 * (9 - row), "ReqCPUS": 8, "Timelimit": "01:00:00",
             "Partition": "p", "ElapsedRaw": 100 + row if row else ""} for row in range(10)]  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="|")
    writer.writeheader()
    writer.writerows(rows)
    page = opened("simulation")
    page.selectbox(key="simulation-model").set_value("hpc-runtime").run()
    page.radio(key="simulation-kind-2").set_value("A file").run()
    page.file_uploader(key="simulation-file").set_value(("log.txt", text.getvalue().encode(), "text/plain")).run()
    assert not page.exception
    page.text_input(key="simulation-every-nodes_req").set_value("2")
    page.button(key="simulation-load").click().run()
    assert not page.exception
    log = page.session_state[STATE].replay.log
    assert log.submit.tolist() == [1_700_000_000 + 60 * row for row in range(9)]
    assert log.actual.tolist() == [109 - row for row in range(9)]
    assert log.batch.columns["nodes_req"] == [2.0] * 9
    assert log.batch.columns["wallclock_req"] == [3600.0] * 9
    assert any("left out: 1 outcome not known" in one.value for one in page.caption)


def test_a_log_that_cannot_be_replayed_is_told_why(opened: Callable[..., Any]) -> None:
    page = opened("simulation")
    page.selectbox(key="simulation-model").set_value("hpc-runtime").run()
    page.radio(key="simulation-kind-2").set_value("A file").run()
    page.file_uploader(key="simulation-file").set_value(("log.swf", b"1 2 3\n", "text/plain")).run()
    assert not page.exception
    assert any("must have 18 numbers, got 3" in one.value for one in page.error)


def test_a_server_that_goes_is_told_and_its_answers_stay(start: Callable[..., Any], opened: Callable[..., Any]) -> None:
    served = start()
    page = loaded(opened, "hpc-runtime", Place(served.address, served.rest, served.metrics, timeout=2.0))
    page.button(key="simulation-play").click().run()
    served.process.terminate()
    served.process.wait()
    page.slider(key="simulation-seek").set_value(50.0).run()
    assert not page.exception
    assert len(page.error) == 1  # no server, or no answer in time
    assert [one.label for one in page.button][-1] == "Retry"
    replay = page.session_state[STATE].replay
    assert 0 < replay.done < replay.log.jobs  # what was answered before is kept


def test_of_a_long_log_a_part_is_chosen(opened: Callable[..., Any]) -> None:
    lines = ["submit_time,user,processors_req,nodes_req,wallclock_req,partition,qos,run_time"]
    lines += [f"{1_700_000_000 + row},u,1,1,60,p,q,5" for row in range(MOST + 30)]
    page = opened("simulation")
    page.selectbox(key="simulation-model").set_value("hpc-runtime").run()
    page.radio(key="simulation-kind-2").set_value("A file").run()
    page.file_uploader(key="simulation-file").set_value(("log.csv", "\n".join(lines).encode(), "text/csv")).run()
    page.number_input(key="simulation-first").set_value(MOST + 1).run()
    page.button(key="simulation-load").click().run()
    assert not page.exception
    log = page.session_state[STATE].replay.log
    assert log.submit.tolist() == [1_700_000_000 + MOST + row for row in range(30)]
    assert any(f"rows {MOST + 1:,} to {MOST + 30:,}: 30 jobs" in one.value.replace("\\", "") for one in page.caption)
