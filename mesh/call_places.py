"""Where a message's calls stand among its parts.

Thinking that led to a call has to stand before it, and a model may think again between two of them. A call that says no
place follows everything, which is what most messages mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tollway.chat.v1.chat_pb2 import ContentPart, Message, ToolCall

Said = tuple[int, ContentPart | ToolCall]
"""A part or a call, with its index among its kind."""


def as_said(message: Message) -> Iterator[Said]:
    """What the message says, in order."""
    between: dict[int, list[Said]] = defaultdict(list)
    last: list[Said] = []
    parts = len(message.content)
    for i, call in enumerate(message.tool_calls):
        found = call.HasField("place") and 0 <= call.place < parts
        (between[call.place] if found else last).append((i, call))
    for i, part in enumerate(message.content):
        if between:
            yield from between.get(i, ())
        yield i, part
    yield from last


def forget_last_places(message: Message) -> None:
    """Calls that follow everything say no place, once all of the message is here."""
    parts = len(message.content)
    for call in message.tool_calls:
        if call.place == parts:
            call.ClearField("place")
