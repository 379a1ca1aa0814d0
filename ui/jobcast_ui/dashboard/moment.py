"""One moment of a session's history: what the two latest readings of the page say, small enough to keep many."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobcast.metrics import Metrics

from jobcast_ui.dashboard.change import Change

CONTRACT, OPEN, REST = "rtpredictor.v1", "Open Inference, gRPC", "REST"
_PROTOCOLS = {"grpc": OPEN, "http": REST}
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
KEPT = 900
"""Moments that a session keeps: half an hour at 2 s."""

REQUESTS, OWN_REQUESTS = "rt_predictor_requests_total", "jobcast_requests_total"
DURATION, OWN_DURATION = "rt_predictor_request_duration_seconds", "jobcast_request_duration_seconds"


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """A method as it is reached: by which protocol, under which name."""

    protocol: str
    method: str

    def __str__(self) -> str:
        return f"{self.method} ({self.protocol})"


@dataclass(frozen=True, slots=True)
class Flow:
    """What a call did between two readings.

    Attributes:
        rate: requests per second. failing: those of them without full success, per second; None = counters were begun
            anew.
        percentiles: ms by the names of `SHARES`; None = no request, or begun anew.
    """

    rate: float | None
    failing: float | None
    percentiles: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the page said at `at` (Unix seconds), and what happened in the `seconds` since the reading before.

    Attributes:
        seconds: None = there was none.
        flows: by call; those that the server has had a request of.
        queue: rows that wait or are computed. connections: open ones of the gRPC port.
    """

    at: float
    seconds: float | None
    flows: Mapping[Call, Flow]
    queue: float | None
    connections: float | None

    @property
    def rate(self) -> float | None:
        """Requests of all calls per second; None = not known."""
        return _sum([flow.rate for flow in self.flows.values()], self.seconds)

    @property
    def failing(self) -> float | None:
        """Those of them without full success."""
        return _sum([flow.failing for flow in self.flows.values()], self.seconds)


def moment(before: Metrics | None, after: Metrics) -> Moment:
    """The moment of a reading, given the one before."""
    change = None if before is None else Change(before, after)
    queue, connections = after.value("rt_predictor_queue_size"), after.value("rt_predictor_active_connections")
    flows = {call: _flow(change, call) for call in totals(after)} if change else {}
    return Moment(after.at, change.seconds if change else None, flows, queue, connections)


def totals(page: Metrics) -> dict[Call, dict[str, float]]:
    """Requests since the server's start by call and outcome; calls without any are left out."""
    found: dict[Call, dict[str, float]] = {}
    for (method, status), count in page.by(REQUESTS, "method", "status").items():
        found.setdefault(Call(CONTRACT, method), {})[status] = count
    for (protocol, method, outcome), count in page.by(OWN_REQUESTS, "protocol", "method", "outcome").items():
        found.setdefault(Call(_PROTOCOLS.get(protocol, protocol), method), {})[outcome] = count
    return {call: found[call] for call in sorted(found) if any(found[call].values())}


def _flow(change: Change, call: Call) -> Flow:
    requests, duration, outcome, labels = REQUESTS, DURATION, "status", {"method": call.method}
    if call.protocol != CONTRACT:
        named = {shown: own for own, shown in _PROTOCOLS.items()}
        requests, duration, outcome = OWN_REQUESTS, OWN_DURATION, "outcome"
        labels["protocol"] = named.get(call.protocol, call.protocol)
    rates = {key[0]: rate for key, rate in change.rates(requests, outcome, **labels).items()}
    failing = [rate for name, rate in rates.items() if name != "success"]
    seconds = {name: change.percentile(duration, share, **labels) for name, share in SHARES.items()}
    percentiles = {name: None if value is None else value * 1000 for name, value in seconds.items()}
    return Flow(_sum(list(rates.values()), change.seconds), _sum(failing, change.seconds), percentiles)


def _sum(rates: list[float | None], seconds: float | None) -> float | None:
    """The sum; None where one is not known, or nothing was read before."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if seconds is not None and len(known) == len(rates) else None
