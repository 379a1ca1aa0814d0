"""The token of a call: `authorization: Bearer TOKEN` or `x-api-key: TOKEN`, once. Errors never repeat what came."""

import re
from collections.abc import Iterable

from jobcast_server.errors import UnauthenticatedError

NAMES = frozenset(("authorization", "x-api-key"))
_NAMES = NAMES | {name.encode() for name in NAMES}
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]{1,256}")
_BEARER = re.compile(rb"[ \t]*bearer[ \t]+([^ \t]*)[ \t]*", re.IGNORECASE)

FORM = "`authorization: Bearer TOKEN` or `x-api-key: TOKEN`"

Text = str | bytes


def token(headers: Iterable[tuple[Text, Text]]) -> bytes:
    """The token among the headers, whose names are in lower case.

    Raises:
        UnauthenticatedError: there is none, more than one, or it is malformed.
    """
    given = [(name, value) for name, value in headers if name in _NAMES]
    if not given:
        raise UnauthenticatedError(f"credential: must be given as {FORM}, got none")
    if len(given) > 1:
        raise UnauthenticatedError(f"credential: must be given once, as {FORM}, got {len(given)}")
    name, value = given[0]
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    if name in ("authorization", b"authorization"):
        match = _BEARER.fullmatch(raw)
        if match is None:
            raise UnauthenticatedError(f"credential: must be given as {FORM}, got another authorization")
        raw = match[1]
    else:
        raw = raw.strip(b" \t")
    if not _TOKEN.fullmatch(raw):
        raise UnauthenticatedError("credential: must be a token of 1 to 256 letters, digits and ._~+/=-")
    return raw
