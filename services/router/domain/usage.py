"""How many tokens an attempt took, and how we know.

What the provider counted always counts, a zero included. Where it counted nothing, text is taken at four characters a
token, rounded up: the prompt's and the answer's, apart. Pictures, sound and files are not guessed at.
"""

from __future__ import annotations

from typing import NamedTuple

from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, Delta, Message, ToolCall, ToolCallDelta, Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATUS_OK,
    PROVENANCE_ESTIMATED,
    PROVENANCE_PROVIDER_REPORTED,
    PROVENANCE_STREAM_COUNTED,
    PROVENANCE_UNSETTLED,
    AttemptStatus,
    Provenance,
)

CHARACTERS_PER_TOKEN = 4
ANY_TIER = "auto"
"""A service tier that leaves it to the provider."""


class Counted(NamedTuple):
    """Tokens and where the figures come from; no usage where nothing is known."""

    usage: Usage | None
    provenance: Provenance.ValueType


_UNKNOWN = Counted(None, PROVENANCE_UNSETTLED)


def count(
    status: AttemptStatus.ValueType, reported: Usage | None, chat: ChatRequest, characters: int, *, streamed: bool
) -> Counted:
    """The usage of an attempt that ended with `status` after `characters` of answer.

    Without a word from the provider, an attempt that brought no whole answer and no content has no usage at all: nobody
    is charged for a prompt that may never have been read. A service tier is the one that the provider names, else the
    one it was asked for.
    """
    tier = chat.service_tier
    if tier == ANY_TIER:
        tier = ""
    if reported is not None:
        if tier and not reported.service_tier:
            reported = _of_tier(reported, tier)
        return Counted(reported, PROVENANCE_PROVIDER_REPORTED)
    if status != ATTEMPT_STATUS_OK and not characters:
        return _UNKNOWN
    usage = Usage(input_tokens=tokens(prompt_size(chat)), output_tokens=tokens(characters), service_tier=tier)
    return Counted(usage, PROVENANCE_STREAM_COUNTED if streamed else PROVENANCE_ESTIMATED)


def count_unread(reported: Usage | None, *, tokens_are_free: bool) -> Counted:
    """The usage of an attempt whose answer was not read. Where its provider said nothing of tokens, nobody knows them;
    where they cost nothing, nobody has to: the call is priced as a call."""
    if reported is not None:
        return Counted(reported, PROVENANCE_PROVIDER_REPORTED)
    return Counted(Usage(), PROVENANCE_ESTIMATED) if tokens_are_free else _UNKNOWN


def _of_tier(reported: Usage, tier: str) -> Usage:
    usage = Usage()
    usage.CopyFrom(reported)
    usage.service_tier = tier
    return usage


def tokens(characters: int) -> int:
    """What that much text is taken for."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def prompt_size(chat: ChatRequest) -> int:
    """Characters of a question: its messages and its tools."""
    size = 0
    for tool in chat.tools:
        size += len(tool.name) + len(tool.description) + len(tool.parameters_json)
    for message in chat.messages:
        size += message_size(message)
    return size


def message_size(message: Message) -> int:
    """Characters of a message: what is said, shown as thinking, or written into tool calls."""
    size = 0
    for part in message.content:
        size += _part_size(part)
    for call in message.tool_calls:
        size += _call_size(call)
    return size


def delta_size(delta: Delta) -> int:
    """Characters that a delta adds to the answer; 0 for one without content."""
    size = len(delta.text) + len(delta.refusal)
    if delta.HasField("reasoning"):
        size += len(delta.reasoning.text) + len(delta.reasoning.redacted)
    for call in delta.tool_calls:
        size += _call_size(call)
    return size


def _part_size(part: ContentPart) -> int:
    if text := part.text:  # a part is one thing alone, and nearly always this
        return len(text)
    return len(part.refusal) + (len(part.reasoning.text) if part.HasField("reasoning") else 0)


def _call_size(call: ToolCall | ToolCallDelta) -> int:
    return len(call.name) + len(call.arguments)
