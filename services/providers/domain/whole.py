"""A whole answer where a stream was asked for."""

from __future__ import annotations

from tollway.chat.v1 import chat_pb2


def as_chunk(response: chat_pb2.ChatResponse) -> chat_pb2.ChatChunk:
    """The answer as the only chunk of a stream, from a server that does not stream."""
    chunk = chat_pb2.ChatChunk(
        id=response.id,
        model=response.model,
        service_tier=response.service_tier,
        system_fingerprint=response.system_fingerprint,
        extra_json=response.extra_json,
    )
    if response.HasField("create_time"):
        chunk.create_time.CopyFrom(response.create_time)
    if response.HasField("usage"):
        chunk.usage.CopyFrom(response.usage)
    for choice in response.choices:
        _delta(choice, chunk.deltas.add())
    return chunk


def _delta(choice: chat_pb2.Choice, into: chat_pb2.Delta) -> None:
    into.index = choice.index
    into.role = choice.message.role
    for part in choice.message.content:
        into.text += part.text
        into.refusal += part.refusal
        if part.reasoning.text:
            into.reasoning.text += part.reasoning.text
    for i, call in enumerate(choice.message.tool_calls):
        into.tool_calls.add(
            index=i, id=call.id, type=call.type, name=call.name, arguments=call.arguments, extra_json=call.extra_json
        )
    # It came whole, so it did come to its end, whether or not the server gave that a name.
    into.finish_reason = choice.finish_reason or chat_pb2.FINISH_REASON_OTHER
    into.native_finish_reason = choice.native_finish_reason
    if choice.HasField("logprobs"):
        into.logprobs.CopyFrom(choice.logprobs)
    into.extra_json = choice.message.extra_json
    into.choice_extra_json = choice.extra_json
