"""A stream of Anthropic's events, as text and as the official SDK puts it together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway_http.anthropic.stream import EventEncoder
from gateway_http.dialect import Identity
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

RECEIPT = Receipt(deployment="openai/gpt-4o", attempts=1, cost_nanos=10_000_000)
TOLD = {"cost_usd": 0.01, "deployment": "openai/gpt-4o", "attempts": 1, "trace_id": "0af7"}
STOP = pb.FINISH_REASON_STOP

_EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def encoder() -> EventEncoder:
    return EventEncoder(Identity("req_1", "claude", 1_700_000_000.5))


def events(written: bytes) -> list[Any]:
    """The data of each event, once it has been checked that the event is called what its data says."""
    assert written.endswith(b"\n\n") or not written
    told = []
    for event in written.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def stream(chunks: Sequence[pb.ChatChunk]) -> list[Any]:
    """The events of a whole stream."""
    making = encoder()
    return events(b"".join(making.encode(chunk) for chunk in chunks) + making.finish(RECEIPT, "0af7"))


def stream_of(*deltas: pb.Delta, dialect: str = "") -> list[Any]:
    """The events of these deltas, each in a chunk of its own, and of an end where none of them is one."""
    given = list(deltas)
    if not any(delta.finish_reason for delta in given):
        given.append(pb.Delta(finish_reason=STOP))
    return stream([pb.ChatChunk(deltas=[delta], dialect=dialect) for delta in given])


def put_together(told: Sequence[Any]) -> Any:
    """The message that the SDK accumulates, in JSON. Each event has to be what the SDK's types say, precisely."""
    message, buffers = None, dict[int, bytes]()
    for event in told:
        if event["type"] == "ping":
            continue
        message = accumulate_event(
            event=_EVENT.validate_python(event, strict=True), current_snapshot=message, json_bufs=buffers
        )
    assert message is not None
    return message.to_dict(mode="json")
