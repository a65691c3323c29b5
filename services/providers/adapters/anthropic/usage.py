"""What Anthropic counted.

Its `input_tokens` are those that were neither read from the prompt cache nor written to it; here they are all of them.
"""

from __future__ import annotations

from typing import Any

import orjson

from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_LIFETIMES = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})


def read_usage(usage: Json, into: chat_pb2.Usage) -> None:
    """Takes the counts apart. What has no place, such as searches by the server's own tools, is kept as it is."""
    left = dict(usage)
    read, written = left.pop("cache_read_input_tokens", None) or 0, left.pop("cache_creation_input_tokens", None) or 0
    lifetimes = left.pop("cache_creation", None)
    long = _hour(lifetimes)
    into.input_tokens = (left.pop("input_tokens", None) or 0) + read + written
    into.output_tokens = left.pop("output_tokens", None) or 0
    into.cached_input_tokens, into.cache_write_tokens, into.cache_write_1h_tokens = read, written, long
    into.service_tier = left.pop("service_tier", None) or ""
    details = left.get("output_tokens_details")
    if isinstance(details, dict) and details.keys() == {"thinking_tokens"}:
        into.reasoning_tokens = left.pop("output_tokens_details")["thinking_tokens"]
    if lifetimes and not _is_told(lifetimes, written):
        left["cache_creation"] = lifetimes
    said = {name: value for name, value in left.items() if value is not None}
    if said:
        into.extra_json = orjson.dumps(said)


def _hour(lifetimes: Any) -> int:
    return (lifetimes.get("ephemeral_1h_input_tokens") or 0) if isinstance(lifetimes, dict) else 0


def _is_told(lifetimes: Any, written: int) -> bool:
    """Whether the hour's share, and the sum, say all that there is to say about lifetimes."""
    if not isinstance(lifetimes, dict) or not lifetimes.keys() <= _LIFETIMES:
        return False
    return (lifetimes.get("ephemeral_5m_input_tokens") or 0) + _hour(lifetimes) == written
