"""The server's security as a whole: put together from the settings, and looked after while it serves."""

import asyncio
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from jobcast_server.counting import Kinds
from jobcast_server.errors import StartupError
from jobcast_server.security import keys as keyfile
from jobcast_server.security.audit import Audit
from jobcast_server.security.gate import Gate
from jobcast_server.security.keyring import Keyring
from jobcast_server.security.tls import Certificates
from jobcast_server.security.watch import Watched
from jobcast_server.settings import Settings

LOOK_S = 0.5
"""Seconds between two looks at the files: a key that is revoked opens nothing after it."""

log = structlog.get_logger()


class Security:
    """What guards the ports.

    Attributes:
        gate: what every protocol asks. keys: in force; None = none are asked for. certificates: None = no TLS.
    """

    def __init__(self, settings: Settings, kinds: Kinds, *, warns: bool = True) -> None:
        """Read keys and certificates; of several workers the supervisor alone `warns` of what is open.

        Raises:
            StartupError: one of the files is not right, or the audit log cannot be written.
        """
        self._settings = settings
        self._watched: dict[str, Watched] = {}
        self._audit = Audit(Path(settings.audit_log) if settings.audit_log else None)
        try:
            self._audit.check()
        except OSError as error:
            raise StartupError(f"audit_log: {settings.audit_log} cannot be written: {error.strerror}") from None
        self.keys = Keyring((), kinds, settings.workers) if settings.keys else None
        self.certificates: Certificates | None = None
        if self.keys is not None:
            self._watched["keys"] = Watched("keys", [Path(settings.keys)], self._read_keys)
        if settings.tls_cert:
            ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
            self.certificates = Certificates(Path(settings.tls_cert), Path(settings.tls_key), ca)
            self._watched["certificate"] = Watched("certificates", self.certificates.paths, self.certificates.load)
        admin = settings.admin == "on" or (settings.admin == "auto" and (self.keys is not None or local(settings.host)))
        self.gate = Gate(self.keys, self._audit, admin=admin, open_health=settings.open_health)
        if warns:
            self._warn(admin=admin)

    async def watch(self) -> None:
        """Look at the files, again and again."""
        while True:
            await asyncio.sleep(LOOK_S)
            for watched in self._watched.values():
                watched.look()
            if self.keys is not None:
                self.keys.expire()
            self._audit.sum_up()

    def close(self) -> None:
        """Write down what waits."""
        self._audit.sum_up(last=True)

    def collect(self) -> Iterator[Metric]:
        """Metrics, for the thread of the metrics page."""
        refused = CounterMetricFamily("jobcast_refused", "Calls that the gate refused, by outcome.", labels=["outcome"])
        for outcome in ("unauthenticated", "denied", "limited"):
            refused.add_metric([outcome], self.gate.refused[outcome])
        yield refused
        stale = GaugeMetricFamily(
            "jobcast_stale", "1 when a file was changed and could not be read; the one before is in force.",
            labels=["file"],
        )  # fmt: skip
        for name, watched in self._watched.items():
            stale.add_metric([name], watched.stale)
        yield stale
        if self.keys is not None:
            yield GaugeMetricFamily("jobcast_keys", "Keys in force.", value=len(self.keys))

    def _read_keys(self) -> None:
        assert self.keys is not None  # noqa: S101 - watched only where there are some
        self.keys.replace(keyfile.read(Path(self._settings.keys)))

    def _warn(self, *, admin: bool) -> None:
        settings = self._settings
        if self.keys is not None and not len(self.keys):
            log.warning("no key is in force, so nobody gets in", file=settings.keys, mend="jobcast keys new --file ...")
        if local(settings.host):
            return
        mutual = self.certificates is not None and settings.tls_client_ca
        if self.keys is None and not mutual:
            log.warning(
                "THIS SERVER IS OPEN: everybody who reaches it may ask it", host=settings.host,
                admin="on" if admin else "off", mend="give --keys, or --tls-client-ca, or --host 127.0.0.1",
            )  # fmt: skip
        elif self.certificates is None:
            log.warning(
                "KEYS TRAVEL IN THE CLEAR: there is no TLS", host=settings.host,
                mend="give --tls-cert and --tls-key, or have TLS end in a proxy on this machine",
            )  # fmt: skip


def local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
