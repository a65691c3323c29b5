"""What Anthropic counted.

Its `input_tokens` are those that were neither read from the prompt cache nor written to it; here they are all of them.
What it took to compact the conversation is in none of its counts, and stands among `iterations` alone; here it is
counted as well, because it is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_LIFETIMES = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})
_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


def read_usage(usage: Json, into: chat_pb2.Usage) -> None:
    """Takes the counts apart. What has no place, such as searches by the server's own tools, is kept as it is.

    So are Anthropic's own counts where they are not all that is counted.
    """
    left = dict(usage)
    compactions = list(_compactions(usage))
    for counted in (usage, *compactions):
        _add(counted, into)
    if not compactions:
        for name in _COUNTS:
            left.pop(name, None)
        lifetimes = left.get("cache_creation")
        if not lifetimes or _is_told(lifetimes, into.cache_write_tokens):
            left.pop("cache_creation", None)
    into.service_tier = left.pop("service_tier", None) or ""
    details = left.get("output_tokens_details")
    if isinstance(details, dict) and details.keys() == {"thinking_tokens"}:
        into.reasoning_tokens = left.pop("output_tokens_details")["thinking_tokens"]
    said = {name: value for name, value in left.items() if value is not None}
    if said:
        into.extra_json = encode_json(said)


def _compactions(usage: Json) -> Iterator[Json]:
    iterations = usage.get("iterations")
    for each in iterations if isinstance(iterations, list) else ():
        if isinstance(each, dict) and each.get("type") == "compaction":
            yield each


def _add(counted: Json, into: chat_pb2.Usage) -> None:
    given, read, written, said = (counted.get(name) or 0 for name in _COUNTS)
    into.input_tokens += given + read + written
    into.output_tokens += said
    into.cached_input_tokens += read
    into.cache_write_tokens += written
    into.cache_write_1h_tokens += _hour(counted.get("cache_creation"))


def _hour(lifetimes: Any) -> int:
    return (lifetimes.get("ephemeral_1h_input_tokens") or 0) if isinstance(lifetimes, dict) else 0


def _is_told(lifetimes: Any, written: int) -> bool:
    """Whether the hour's share, and the sum, say all that there is to say about lifetimes."""
    if not isinstance(lifetimes, dict) or not lifetimes.keys() <= _LIFETIMES:
        return False
    return (lifetimes.get("ephemeral_5m_input_tokens") or 0) + _hour(lifetimes) == written
