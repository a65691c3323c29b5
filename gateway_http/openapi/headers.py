"""The headers that questions may have, and those of answers."""

from __future__ import annotations

from gateway_http.openapi.schema import Json, one_of

_YES_OR_NO = one_of("0", "1")


def _printable(most: int) -> Json:
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": "^[!-~]+$"}


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


PARAMETERS: Json = {
    "RequestId": _parameter(
        "x-request-id",
        "An id for the request. One that cannot stand in a log is replaced by one of ours.",
        {"type": "string", "pattern": "^[A-Za-z0-9._:/+=@-]{1,128}$"},
    ),
    "Traceparent": _parameter(
        "traceparent",
        "The caller's place in its trace, as W3C has it.",
        {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$"},
    ),
    "Tags": _parameter(
        "x-tollway-tags",
        "Labels for spend, comma-separated: `nightly,team:search`.",
        {"type": "string", "pattern": r"^[A-Za-z0-9._/@+-]{1,64}(:[A-Za-z0-9._/@+-]{1,64})?$"},
    ),
    "Session": _parameter(
        "x-tollway-session", "Questions of one session go to the same deployment where they can.", _printable(128)
    ),
    "Timeout": _parameter(
        "x-tollway-timeout",
        "After which time an error is wanted rather than an answer: `250ms`, `30s`, `5m`.",
        {"type": "string", "pattern": "^[1-9][0-9]{0,2}s$"},
    ),
    "IdempotencyKey": _parameter(
        "idempotency-key",
        "Names the question. Asked again under the same key, it gets the same answer, and is billed once.",
        _printable(255),
    ),
    "Cache": _parameter("x-tollway-cache", "What the response cache may do.", one_of("use", "bypass", "refresh")),
    "DropUnsupported": _parameter(
        "x-tollway-drop-unsupported",
        "`1`: what a provider cannot be told is left out, and listed in `x-tollway-dropped`, rather than refused.",
        _YES_OR_NO,
    ),
    "Explain": _parameter("x-tollway-explain", "`1`: tells where the question would go, and asks nobody.", _YES_OR_NO),
    "Assured": _parameter("x-tollway-assured", "`1`: a streamed answer is held back until it is whole.", _YES_OR_NO),
}

OF_ALL = ("RequestId", "Traceparent")
OF_QUESTIONS = (*OF_ALL, "Tags", "Session", "Timeout", "IdempotencyKey", "DropUnsupported")
OF_CONVERSATIONS = (*OF_QUESTIONS, "Cache", "Explain", "Assured")
OF_COUNTS = (*OF_ALL, "Tags", "Session", "Timeout", "DropUnsupported")


def parameters(names: tuple[str, ...]) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _header(description: str, schema: Json | None = None) -> Json:
    return {"description": description, "schema": schema or {"type": "string"}}


_OF_EVERY_ANSWER: Json = {
    "x-request-id": _header("The request's id."),
    "x-tollway-trace-id": _header("Its trace.", {"type": "string", "pattern": "^[0-9a-f]{32}$"}),
}
_OF_AN_ANSWER: Json = {
    "x-tollway-deployment": _header("Who answered, as `provider/model`, percent-encoded where no header can hold it."),
    "x-tollway-attempts": _header("Calls that left for a provider.", {"type": "string", "pattern": "^[0-9]+$"}),
    "x-tollway-cost-usd": _header("What that cost, where it is known when headers are sent.",
                                  {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2,9}$"}),
    "x-tollway-cache": _header("What the response cache had to do with it.", one_of("hit", "miss", "refreshed")),
    "x-tollway-replayed": _header("`1`: it was given before, under the same idempotency key."),
    "x-tollway-estimated": _header("`1`: the provider does not count, so tokens are told by size."),
    "x-tollway-dropped": _header("What of the question was left out: paths, percent-encoded, with commas between; "
                                 "`and 7 more` at the end where not all fit."),
    "age": _header("Seconds since it was given for the first time, where it comes out of the cache."),
}  # fmt: skip
_OF_AN_ERROR: Json = {
    "x-should-retry": _header("`false`: repeating the request unchanged cannot help.", one_of("false")),
    "retry-after": _header("Seconds after which to try again.", {"type": "string", "pattern": "^[0-9]+$"}),
}


def answer_headers(*, asked: bool) -> Json:
    """Of an answer that went well; `asked`: somebody was asked for it."""
    return {**_OF_EVERY_ANSWER, **_OF_AN_ANSWER} if asked else _OF_EVERY_ANSWER


def error_headers() -> Json:
    return {**_OF_EVERY_ANSWER, **_OF_AN_ERROR}
