"""How this contract tells an error: what is malformed is 422 and lists the fields, the rest as everywhere here."""

import orjson

from jobcast_server.errors import InvalidRequestError, RequestError
from jobcast_server.rest.faults import HttpError, Refusal, refusal
from jobcast_server.status import LONGEST

MALFORMED = 422


def told(error: RequestError | HttpError) -> Refusal:
    """The refusal."""
    if not isinstance(error, InvalidRequestError):
        return refusal(error)
    fields = [{"field": item.field[:LONGEST], "problem": item.problem[:LONGEST]} for item in error.violations]
    text = {"error": str(error)[:LONGEST], "fields": fields}
    try:
        body = orjson.dumps(text)
    except orjson.JSONEncodeError:  # a lone surrogate, which JSON can carry and UTF-8 cannot
        body = refusal(error).body
    return Refusal(MALFORMED, "invalid", body)
