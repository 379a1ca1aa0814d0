"""What every status that is an error means, for the OpenAPI document."""

from typing import Any

REF = "#/components/schemas/{model}"

WORDS = {
    400: "The request breaks a rule; the text names field, rule and value.",
    401: "The server asks for a key, and none that is in force came.",
    403: "The key has not the scope, administration is off (--admin), or --model-control is not explicit.",
    404: "There is no such model or version.",
    405: "Another method is needed; the header Allow names it.",
    408: "The request did not arrive in time, or waited longer than its timeout parameter allows.",
    409: "The model was not loaded; the text says what serves.",
    413: "The body is longer than --max-body-bytes.",
    415: "Content-Type or Content-Encoding is not one of those accepted.",
    429: "Too much work is in hand, or the key's calls come too fast; come back later.",
    431: "The header is too long.",
    500: "A fault of the server; its log tells more.",
    503: "The model is known and cannot answer now, or the server starts or stops.",
}
"""Meaning of every status that is an error."""

COMMON = (400, 401, 403, 408, 429, 431, 500)
"""What any request may get: one that is no HTTP, has no key, is too slow or too long, and a fault of the server."""

BODY = (413, 415)
"""What a request with a body may get besides."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Descriptions of error answers."""
    content = {"application/json": {"schema": {"$ref": REF.format(model="Error")}}}
    return {status: {"content": content, "description": WORDS[status]} for status in sorted({*statuses, *COMMON})}
