"""Whether a call may go on: one object decides for every protocol, before anything of the call is read.

Without keys every call may, but for those of administration where the switch is off. With keys nothing may that the
table of scopes does not open to the key that was given.
"""

import math
from collections import Counter
from collections.abc import Iterable

from jobcast_server.counting import PYTHON
from jobcast_server.errors import ForbiddenError, RateLimitedError, RequestError, UnauthenticatedError
from jobcast_server.security import scopes
from jobcast_server.security.audit import Audit
from jobcast_server.security.credential import Text, token
from jobcast_server.security.keyring import Caller, Keyring
from jobcast_server.status import status_of

ANYBODY = Caller(None, PYTHON)
"""Who calls where no key is asked for."""


class Gate:
    """Decides; any thread may ask.

    Attributes:
        keys: in force; None = no key is asked for. refused: refusals by outcome.
    """

    def __init__(self, keys: Keyring | None, audit: Audit, *, admin: bool, open_health: bool) -> None:
        self.keys = keys
        self.refused: Counter[str] = Counter()
        self._audit = audit
        self._admin = admin
        self._open_health = open_health

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return self.keys is None

    def check(self, call: str, headers: Iterable[tuple[Text, Text]], *, paid: bool = False) -> Caller:
        """Let a call go on; gives who calls.

        Args:
            call: as the table of scopes names calls, with the path in its canonical form.
            headers: names in lower case.
            paid: the key's rate has counted this call already.

        Raises:
            UnauthenticatedError: no key that is in force came with the call.
            ForbiddenError: the key does not open it, or it is switched off.
            RateLimitedError: the key's calls come too fast.
        """
        opens = scopes.of(call)
        if self.keys is None:
            if opens == scopes.ADMIN:
                self._check_admin()
            return ANYBODY
        if self._open_health and call in scopes.OPEN_HEALTH:
            return ANYBODY
        caller = self.keys.find(token(headers))
        if caller is None:
            raise UnauthenticatedError("credential: is not known here, was revoked, or has expired")
        if opens is None:
            raise ForbiddenError("no key opens this call; see /docs for those that there are")
        if not opens & caller.scopes:
            wanted = " or ".join(scope for scope in scopes.Scope if scope in opens)
            raise ForbiddenError(
                f"key {caller.id}: must hold the scope {wanted}, holds {' and '.join(sorted(caller.scopes))}"
            )
        if opens == scopes.ADMIN:
            self._check_admin()
        if not paid and not caller.rate.take():
            rate, burst = caller.bounds or (1.0, 1.0)
            raise RateLimitedError(
                f"key {caller.id}: may call {rate:g} times a second, {burst:g} at once; come back later",
                max(1, math.ceil(1 / rate)),
            )
        return caller

    def tell(self, call: str, peer: str, error: RequestError, caller: Caller = ANYBODY) -> None:
        """Count a refusal and write it down."""
        outcome = status_of(error).outcome
        self.refused[outcome] += 1
        self._audit.refused(call, peer, outcome, str(error), caller.id)

    def acted(self, call: str, peer: str, caller: Caller, outcome: str) -> None:
        """Write down an act of administration."""
        self._audit.acted(call, peer, outcome, caller.id)

    def _check_admin(self) -> None:
        if not self._admin:
            raise ForbiddenError(
                "admin: loading, unloading, training and writing tables are switched off on this server; "
                "start it with --admin on, and with --keys"
            )
