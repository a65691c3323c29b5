"""What the headers of a provider's answer say about the call. Names are looked up in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from tollway.providers.v1 import providers_pb2

_REQUEST_ID = (
    *("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-ms-request-id", "x-debug-trace-id"),
    "cf-ray",
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_ANTHROPIC_RESET = re.compile(r"anthropic-ratelimit-(?:requests|(?:input-|output-)?tokens)-reset")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def upstream_call(status: int, headers: Mapping[str, str], dropped: Sequence[str] = ()) -> providers_pb2.UpstreamCall:
    """What is passed on about a call that was answered, and what of the question it left out."""
    call = providers_pb2.UpstreamCall(status=status, request_id=request_id(headers))
    if dropped:
        call.dropped.extend(dropped)
    for name, value in headers.items():
        if known := _limit_name(name):
            call.rate_limits[known] = value
    return call


@lru_cache(maxsize=1024)
def _limit_name(name: str) -> str:
    """In lower case, the name of a header that says something about limits; empty for any other."""
    lower = name.lower()
    return lower if "ratelimit" in lower or "tokenlimit" in lower or lower == "retry-after" else ""


def request_id(headers: Mapping[str, str]) -> str:
    """The provider's id for the request. Empty: it gave none."""
    for name in _REQUEST_ID:
        if name in headers:
            return headers[name]
    return ""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, by whichever header says so: the most exact first. `now` is Unix time."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if given := headers.get("retry-after"):
        seconds = _number(given)
        return seconds if seconds is not None else _until_date(given, now)
    return _until_reset(headers, now)


def _until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Until the limit that is used up resets; where none says it is, until the first one does."""
    resets: list[float] = []
    used_up: list[float] = []
    for name, value in _reset_headers(headers):
        seconds = _until(value, now)
        if seconds is not None:
            remaining = headers.get(name.replace("reset", "remaining"), "")
            (used_up if _number(remaining) == 0 else resets).append(seconds)
    return max(used_up) if used_up else min(resets, default=None)


def _reset_headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(("x-ratelimit-reset", "ratelimit-reset")) or _ANTHROPIC_RESET.fullmatch(lower):
            yield lower, value


def _until(value: str, now: float) -> float | None:
    """Seconds meant by `1m2.5s`, a number of seconds, a Unix time in seconds or milliseconds, or RFC 3339."""
    if _SPAN.fullmatch(value):
        return sum(float(amount) * _SECONDS[unit] for amount, unit in _SPAN_PART.findall(value))
    number = _number(value)
    if number is None:
        return _until_moment(value, now)
    if number < 1e9:
        return number
    return max((number / 1000 if number > 1e11 else number) - now, 0.0)


def _until_moment(value: str, now: float) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:  # of a form that nobody has told us about
        return None
    return max(moment.timestamp() - now, 0.0) if moment.tzinfo is not None else None


def _until_date(value: str, now: float) -> float | None:
    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except ValueError:  # neither a number nor a date: the provider said nothing we can use
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:  # asked of every form a header may take
        return None
    return number if 0 <= number < float("inf") else None
