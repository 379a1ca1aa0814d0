"""The metrics page of a server, read: every number as it stands there, none of ours."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Unpack

import httpx
from prometheus_client.parser import text_string_to_metric_families

from jobcast.access import AccessFields
from jobcast.closing import Closing, closed
from jobcast.errors import ServerFault
from jobcast.tasks import exchange
from jobcast.waiting import limit

DEFAULT_URL = "http://localhost:8181"
PATH = "/metrics"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the page said at one moment.

    Attributes:
        at: when it was read, Unix seconds.
        samples: lines of the page by name (`..._total`, `..._bucket`), each with its labels and value.
    """

    at: float
    samples: Mapping[str, tuple[tuple[Labels, float], ...]] = field(repr=False)

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the lines of that name with these labels; None when there is none."""
        found = [value for own, value in self.samples.get(name, ()) if labels.items() <= own.items()]
        return sum(found) if found else None

    def by(self, name: str, *split: str, **labels: str) -> dict[tuple[str, ...], float]:
        """The same for each combination of the values of the labels `split`, in the page's order."""
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for own, value in self.samples.get(name, ()):
            if labels.items() <= own.items():
                sums[tuple(own.get(one, "") for one in split)] += value
        return dict(sums)


class MetricsClient(Closing):
    """Reads the page again and again over one connection; use it as a context manager, or call `close`."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout: float = 5.0, **access: Unpack[AccessFields]) -> None:
        """Nothing is sent before the first reading.

        Args:
            url: of the port that the server opens with `--metrics-port`, without a path.
            timeout: seconds to connect, and for each wait for more of the answer.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: the address is none, or what gives access cannot be read.
        """
        self.url = exchange.address(url)
        self.timeout = limit(timeout)
        self._http = httpx.Client(timeout=timeout, **exchange.access(self.url, access))

    def read(self) -> Metrics:
        """The page as it is now.

        Raises:
            Denied: the server wants a token, or another one.
            Unavailable, DeadlineExceeded: no answer.
            ServerFault: the answer is no metrics page of a jobcast server.
        """
        if self._http.is_closed:
            raise closed()
        try:
            response = self._http.get(self.url + PATH, headers={"accept": "text/plain"})
        except httpx.RequestError as error:
            raise exchange.failed(error, self.url, self.timeout) from error
        if not response.is_success:
            raise exchange.refused(response.status_code, response.content, self.url)
        return parsed(response.text, self.url, time.time())

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def parsed(text: str, url: str, at: float) -> Metrics:
    """The metrics of a page in Prometheus' text format, read from `url` at `at` (Unix seconds).

    Raises:
        ServerFault: it is none, or not that of a jobcast server.
    """
    samples: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    try:
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                samples[one.name].append((one.labels, float(one.value)))
    except (ValueError, KeyError, IndexError) as error:
        raise ServerFault(f"what answered at {url} is no metrics page ({error}): check the port", "DATA_LOSS") from None
    if "jobcast_ready" not in samples:
        raise ServerFault(f"the page at {url} tells nothing of a jobcast server: check the port", "DATA_LOSS")
    return Metrics(at, {name: tuple(found) for name, found in samples.items()})
