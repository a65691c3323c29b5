"""Anthropic's JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.call_places import forget_last_places
from services.providers.adapters.anthropic.citations import read_citation
from services.providers.adapters.anthropic.errors import named_error
from services.providers.adapters.anthropic.extra import NAME
from services.providers.adapters.anthropic.usage import read_usage
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object
from tollway.chat.v1 import chat_pb2

FINISH_REASONS = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP,
    "max_tokens": chat_pb2.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_LENGTH,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "refusal": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
_SAY_NO_MORE = frozenset({"end_turn", "max_tokens", "tool_use", "refusal"})
"""Reasons that ours say all of."""
NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError)
"""What reading an answer of another shape than Anthropic's raises, from here or from protobuf's own type checks."""


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED, or the error that a 200 carried."""
    try:
        answer = sent_object(body)
        if answer.get("type") == "error":
            raise named_error(answer)
        return _response(answer)
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not a message ({type(error).__name__})") from None


def decode_count(body: bytes) -> int:
    """The tokens that were counted. Raises UPSTREAM_MALFORMED, or the error that a 200 carried."""
    try:
        answer = sent_object(body)
        if answer.get("type") == "error":
            raise named_error(answer)
        return int(answer["input_tokens"])
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not a count of tokens ({type(error).__name__})") from None


def decode_original_count(body: bytes) -> int | None:
    """The tokens that there were before the provider cleared any; None where it does not say."""
    match sent_object(body).get("context_management"):
        case {"original_input_tokens": int(count)}:
            return count
    return None


def _response(answer: Json) -> chat_pb2.ChatResponse:
    response = chat_pb2.ChatResponse(dialect=NAME)
    choice = response.choices.add()
    choice.message.role = chat_pb2.ROLE_ASSISTANT
    for block in answer.pop("content"):
        _block(block, choice.message)
    forget_last_places(choice.message)
    usage = answer.pop("usage", None)
    if usage:
        read_usage(usage, response.usage)
    read_finish(answer, choice)
    if details := answer.pop("stop_details", None):
        choice.extra_json = encode_json({"stop_details": details})
    if left := identify(answer, response):
        response.extra_json = left
    return response


def identify(answer: Json, into: chat_pb2.ChatResponse | chat_pb2.ChatChunk) -> bytes:
    """Takes out what names the answer and its model, and returns what is left of it as JSON, if anything is."""
    into.id = answer.pop("id", None) or ""
    into.model = answer.pop("model", None) or ""
    for told in ("type", "role"):  # a message, by the assistant
        answer.pop(told, None)
    return kept(answer)


def kept(left: Json) -> bytes:
    """What has no place of its own, as JSON. A field that is null says nothing."""
    said = {name: value for name, value in left.items() if value is not None}
    return encode_json(said) if said else b""


def read_finish(ending: Json, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    """Takes out of a message, or of what ends a stream's, why it ended."""
    if reason := ending.pop("stop_reason", None):
        into.finish_reason = FINISH_REASONS.get(reason, chat_pb2.FINISH_REASON_OTHER)
        if reason not in _SAY_NO_MORE:
            into.native_finish_reason = reason
    into.stop_sequence = ending.pop("stop_sequence", None) or ""


def _block(block: Json, message: chat_pb2.Message) -> None:
    if block.get("type") == "tool_use":
        read_call(block, message.tool_calls.add(place=len(message.content)))
    else:
        read_part(block, message.content.add())


def read_call(block: Json, into: chat_pb2.ToolCall | chat_pb2.ToolCallDelta) -> None:
    """Takes a call apart. Its arguments are an object here, and text in what is read."""
    block.pop("type")
    into.type = "function"
    into.id, into.name = block.pop("id"), block.pop("name")
    into.arguments = encode_json(block.pop("input", None) or {}).decode()
    into.extra_json = kept(block)


def read_part(block: Json, into: chat_pb2.ContentPart) -> None:
    """Takes a block apart. A kind that has no place of its own is kept whole."""
    read = _KINDS.get(block.get("type", ""))
    if read is None:
        into.extra_json = encode_json(block)
        return
    block.pop("type")
    read(block, into)
    into.extra_json = kept(block)


def _text(block: Json, into: chat_pb2.ContentPart) -> None:
    into.text = block.pop("text")
    for citation in block.pop("citations", None) or ():
        read_citation(citation, into.citations.add())


def _thinking(block: Json, into: chat_pb2.ContentPart) -> None:
    into.reasoning.text = block.pop("thinking")
    into.reasoning.signature = block.pop("signature", None) or ""
    into.reasoning.issuer = NAME


def _redacted(block: Json, into: chat_pb2.ContentPart) -> None:
    into.reasoning.redacted = block.pop("data").encode()
    into.reasoning.issuer = NAME


_KINDS: dict[Any, Callable[[Json, chat_pb2.ContentPart], None]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
