"""A whole answer where a stream was asked for."""

from __future__ import annotations

from mesh.call_places import as_said
from tollway.chat.v1 import chat_pb2


def as_chunk(response: chat_pb2.ChatResponse) -> chat_pb2.ChatChunk:
    """The answer as the only chunk of a stream, from a server that does not stream."""
    chunk = chat_pb2.ChatChunk(
        id=response.id,
        model=response.model,
        service_tier=response.service_tier,
        system_fingerprint=response.system_fingerprint,
        extra_json=response.extra_json,
        dialect=response.dialect,
    )
    if response.HasField("create_time"):
        chunk.create_time.CopyFrom(response.create_time)
    if response.HasField("usage"):
        chunk.usage.CopyFrom(response.usage)
    for choice in response.choices:
        _choice(choice, chunk)
    return chunk


def _choice(choice: chat_pb2.Choice, chunk: chat_pb2.ChatChunk) -> None:
    """A delta for each part of what was said; the last one also ends the choice."""
    into = chunk.deltas.add(index=choice.index, role=choice.message.role)
    for place, said in as_said(choice.message):
        if isinstance(said, chat_pb2.ToolCall):
            if into.extra_json:  # it is the part's
                into = chunk.deltas.add(index=choice.index)
            _call(said, into.tool_calls.add(index=place))
            continue
        if place or into.tool_calls:
            into = chunk.deltas.add(index=choice.index, part=place)
        _part(said, into)
    if into.extra_json and choice.message.extra_json:
        into = chunk.deltas.add(index=choice.index)
    _end(choice, into)


def _part(part: chat_pb2.ContentPart, into: chat_pb2.Delta) -> None:
    kind = part.WhichOneof("part")
    if kind not in ("text", "refusal", "reasoning"):
        into.parts.append(part)
        return
    into.text, into.refusal, into.extra_json = part.text, part.refusal, part.extra_json
    into.citations.extend(part.citations)
    if kind == "reasoning":
        into.reasoning.CopyFrom(part.reasoning)


def _call(call: chat_pb2.ToolCall, into: chat_pb2.ToolCallDelta) -> None:
    into.id, into.type, into.name, into.arguments = call.id, call.type, call.name, call.arguments
    into.signature, into.extra_json = call.signature, call.extra_json


def _end(choice: chat_pb2.Choice, into: chat_pb2.Delta) -> None:
    # It came whole, so it did come to its end, whether or not the server gave that a name.
    into.finish_reason = choice.finish_reason or chat_pb2.FINISH_REASON_OTHER
    into.native_finish_reason, into.stop_sequence = choice.native_finish_reason, choice.stop_sequence
    if choice.HasField("logprobs"):
        into.logprobs.CopyFrom(choice.logprobs)
    if choice.message.extra_json:
        into.extra_json = choice.message.extra_json
    into.choice_extra_json = choice.extra_json
