"""The page: the metrics page read again and again, and what the session saw of it so far."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st
from jobcast import JobcastError
from jobcast.metrics import Metrics, MetricsClient

from jobcast_ui import connection
from jobcast_ui.amounts import figure
from jobcast_ui.chart import chart
from jobcast_ui.dashboard import pictures, served
from jobcast_ui.dashboard.change import buckets, sizes
from jobcast_ui.dashboard.moment import KEPT, SHARES, Call, Moment, moment, totals
from jobcast_ui.place import Place, current

SEEN = "dashboard-seen"
PERIODS = {"1 s": 1, "2 s": 2, "5 s": 5, "15 s": 15, "60 s": 60}
NONE = "no data yet"


@dataclass
class Seen:
    """What the session saw of one server: its latest reading, and the moments so far."""

    place: Place
    page: Metrics | None = None
    history: list[Moment] = field(default_factory=list)

    def add(self, page: Metrics) -> None:
        """Keep a reading."""
        self.history = [*self.history, moment(self.page, page)][-KEPT:]
        self.page = page


def show() -> None:
    """Show the page."""
    st.title("Dashboard")
    controls = st.columns([2, 1, 3], vertical_alignment="bottom")
    period = controls[0].selectbox("Read every", list(PERIODS), index=1, key="dashboard-period")
    paused = controls[1].toggle("Pause", key="dashboard-paused")
    st.fragment(_live, run_every=None if paused else PERIODS[period])(paused)


def _live(paused: bool) -> None:
    if SEEN not in st.session_state or st.session_state[SEEN].place != current():
        st.session_state[SEEN] = Seen(current())
    seen: Seen = st.session_state[SEEN]
    trouble = None
    if not paused or seen.page is None:
        try:
            seen.add(_client(current(), connection.access()["token"]).read())
        except JobcastError as error:
            trouble = error
    state, figures = st.container(), st.container()
    with figures:
        if seen.page is not None:
            _told(seen, seen.page, stale=trouble is not None)
    if trouble is not None:
        with state, connection.guarded():
            raise trouble


def _told(seen: Seen, page: Metrics, *, stale: bool) -> None:
    at = pd.Timestamp(page.at, unit="s").strftime("%Y-%m-%d %H:%M:%S UTC")
    if stale:
        st.warning(f"Stale: the server does not answer; this is what it told last, at {at}.", icon=":material/history:")
    else:
        st.caption(f"Read at {at} from `{current().metrics}`.")
    now = seen.history[-1]
    _numbers(page, now)
    _calls(seen, page, now)
    _latency(seen, page)
    _batches(page)
    _models(page)
    _keys(page)
    with st.expander("What runs"):
        _table([{"fact": name, "value": value} for name, value in served.build(page).items()], "build")


def _numbers(page: Metrics, now: Moment) -> None:
    memory, ready = page.value("process_resident_memory_bytes"), page.value("jobcast_ready")
    told = {
        "Requests/s": _number(now.rate),
        "Without success/s": _number(now.failing),
        "Rows in the queue": _count(now.queue),
        "Connections": _count(now.connections),
        "Memory, MiB": _number(None if memory is None else memory / 2**20),
        "Ready": "yes" if ready else "no",
    }
    for column, (label, value) in zip(st.columns(len(told)), told.items(), strict=True):
        column.metric(label, value)
    if now.seconds is None:
        st.caption("Rates come with the second reading.")
    elif now.rate is None and totals(page):
        st.caption("The server was started anew since the last reading: what it did in between is not known.")
    else:
        st.caption(f"Rates and latencies are of the {now.seconds:.1f} s between the two latest readings.")


def _calls(seen: Seen, page: Metrics, now: Moment) -> None:
    st.subheader("Requests")
    found = totals(page)
    if not found:
        st.info(f"Requests: {NONE}. This server has had none since it started.")
        return
    picture = pictures.rates(seen.history)
    if picture is not None:
        st.vega_lite_chart(picture, width="stretch", key="dashboard-rates", alt=pictures.rates_text(seen.history))
    rows = []
    for call, outcomes in found.items():
        flow = now.flows.get(call)
        percentiles = flow.percentiles if flow else dict.fromkeys(SHARES)
        rows.append(
            {"method": call.method, "protocol": call.protocol, "requests/s": flow.rate if flow else None}
            | {f"{name} ms": percentiles[name] for name in SHARES}
            | {"since the start": sum(outcomes.values()), "of them": _outcomes(outcomes)}
        )
    _table(rows, "calls")
    lost = served.failures(page)
    if lost:
        st.write("Requests without an answer, since the start:")
        _table(lost, "failures")


def _latency(seen: Seen, page: Metrics) -> None:
    st.subheader("Latency")
    counts = {call: sum(outcomes.values()) for call, outcomes in totals(page).items()}
    calls = list(counts)
    if not calls:
        st.info(f"Latency: {NONE}.")
        return
    call: Call = st.selectbox(
        "Method", calls, format_func=str, index=calls.index(max(calls, key=counts.__getitem__)), key="dashboard-call"
    )
    picture = pictures.latencies(seen.history, call)
    if picture is None:
        st.info(f"Latency of {call}: {NONE}. No request of it came between two readings of this session.")
        return
    text = pictures.latency_text(seen.history, call)
    st.vega_lite_chart(picture, width="stretch", key="dashboard-latency", alt=text)
    st.caption(
        "Percentiles of the server's own histogram, of what came between two readings; within a bucket values are "
        "taken to lie evenly, as Prometheus does. " + text
    )


def _batches(page: Metrics) -> None:
    st.subheader("Batch sizes")
    for title, name, unit in (
        ("Rows per request of the contract", "rt_predictor_batch_size", "requests"),
        ("Rows per pass of a model, whoever asks", "jobcast_model_batch_rows", "passes"),
    ):
        counts = sizes(buckets(page, name))
        picture = pictures.batches(counts, unit)
        if picture is None:
            st.info(f"{title}: {NONE}.")
            continue
        text = pictures.batches_text(counts, unit)
        st.write(f"{title}, since the start")
        chart(picture, f"dashboard-sizes-{unit}", text)


def _models(page: Metrics) -> None:
    st.subheader("Models")
    rows = served.models(page)
    if not rows:
        st.info(f"Models: {NONE}. The server's repository is empty.")
        return
    _table(rows, "models")
    st.caption(
        "Percentiles are of answered requests since the version was loaded. Engine and trees: who computes, the native "
        "core or Python and onnxruntime."
    )


def _keys(page: Metrics) -> None:
    st.subheader("Accuracy where outcomes are reported")
    rows = served.keys(page)
    if not rows:
        st.info(f"Accuracy: {NONE}. No task was predicted through `/predict`, and no outcome was reported.")
        return
    _table(rows, "keys")
    st.caption("Errors and coverage are of each key's latest outcomes, at most 1,000; empty where none was reported.")


def _table(rows: list[dict[str, Any]], key: str) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"dashboard-table-{key}")


def _outcomes(outcomes: dict[str, float]) -> str:
    return ", ".join(f"{name} {count:,.0f}" for name, count in outcomes.items() if count)


def _number(value: float | None) -> str:
    return NONE if value is None else figure(value)


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _closed(client: MetricsClient) -> None:
    client.close()


@st.cache_resource(scope="session", show_spinner=False, on_release=_closed)
def _client(place: Place, token: str | None) -> MetricsClient:
    access = connection.access() | {"token": token}
    return MetricsClient(place.metrics, timeout=min(place.timeout, 5.0), **access)
