"""What is left of limits, as the response headers that OpenAI's clients know."""

from __future__ import annotations

from collections.abc import Mapping

from tollway.router.v1.router_pb2 import RateLimits

_KINDS = ("requests", "tokens")


def limit_headers(limits: RateLimits) -> dict[str, str]:
    """Of an answer that was let through."""
    headers: dict[str, str] = {}
    for kind, limit in (("requests", limits.requests), ("tokens", limits.tokens)):
        if most := limit.limit:
            reset = limit.reset
            milliseconds = reset.seconds * 1000 + reset.nanos // 1_000_000
            _put(headers, kind, str(most), str(limit.remaining), milliseconds)
    return headers


def refusal_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Of an error; none where it says nothing about limits."""
    headers: dict[str, str] = {}
    for kind in _KINDS:
        limit, reset = metadata.get(f"limit_{kind}"), metadata.get(f"reset_{kind}", "").removesuffix("ms")
        if limit and reset.isdecimal():
            _put(headers, kind, limit, metadata.get(f"remaining_{kind}", "0"), int(reset))
    return headers


def _put(headers: dict[str, str], kind: str, limit: str, remaining: str, reset: int) -> None:
    headers[f"x-ratelimit-limit-{kind}"] = limit
    headers[f"x-ratelimit-remaining-{kind}"] = remaining
    headers[f"x-ratelimit-reset-{kind}"] = format_reset(reset)


def format_reset(milliseconds: int) -> str:
    """`120ms`, `1s`, `8.64s`, `6m0s`, `1h0m30s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, seconds = divmod(-(-milliseconds // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"
