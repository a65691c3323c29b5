"""OpenAI's JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from services.providers.adapters.openai.citations import take_citations
from services.providers.adapters.openai.errors import choice_error, named_error
from services.providers.adapters.openai.halves import parse
from services.providers.adapters.openai.logprobs import keep_logprobs
from services.providers.adapters.openai.media import take_audio, take_images
from services.providers.adapters.openai.thinking import take_thinking, words_of
from services.providers.adapters.openai.tool_calls import keep_tool_call
from services.providers.adapters.openai.usage import keep_usage
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

ROLES = {
    "system": chat_pb2.ROLE_SYSTEM,
    "developer": chat_pb2.ROLE_DEVELOPER,
    "user": chat_pb2.ROLE_USER,
    "assistant": chat_pb2.ROLE_ASSISTANT,
    "tool": chat_pb2.ROLE_TOOL,
    "function": chat_pb2.ROLE_FUNCTION,
}
FINISH_REASONS = {
    "stop": chat_pb2.FINISH_REASON_STOP,
    "length": chat_pb2.FINISH_REASON_LENGTH,
    "tool_calls": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "content_filter": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "function_call": chat_pb2.FINISH_REASON_FUNCTION_CALL,
}
FAILED = "error"
"""A finish reason that is none: the answer broke off."""
NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError)
"""What reading an answer of another shape than OpenAI's raises, from here or from protobuf's own type checks."""
_TEXT_ALONE = frozenset({"content"})
"""What is left of nearly all messages once their role is taken out."""


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED, or the error that a 200 carried."""
    try:
        answer = parse(body)
        if named := named_error(answer):
            raise named
        return _response(answer)
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not a chat completion ({type(error).__name__})") from None


def _response(answer: Json) -> chat_pb2.ChatResponse:
    response = chat_pb2.ChatResponse()
    identify(response, answer)
    answer.pop("object", None)
    if usage := answer.pop("usage", None):
        keep_usage(usage, response, answer, response.service_tier)
    for i, choice in enumerate(answer.pop("choices")):
        _choice(choice, i, response.choices.add())
    if not response.choices:
        raise ValueError("no choices")
    if answer:
        response.extra_json = encode_json(answer)
    return response


def identify(into: chat_pb2.ChatResponse | chat_pb2.ChatChunk, answer: Json) -> None:
    """Takes out of the answer what names it, and its model."""
    into.id = answer.pop("id", None) or ""
    into.model = answer.pop("model", None) or ""
    created = answer.pop("created", None)
    if isinstance(created, (int, float)):
        into.create_time.seconds = int(created)
    into.service_tier = answer.pop("service_tier", None) or ""
    into.system_fingerprint = answer.pop("system_fingerprint", None) or ""


def _choice(choice: Json, place: int, into: chat_pb2.Choice) -> None:
    if choice.get("finish_reason") == FAILED:
        raise choice_error(choice)
    index = choice.pop("index", None)
    into.index = place if index is None else index
    finish(choice.pop("finish_reason", None), into)
    if logprobs := choice.pop("logprobs", None):
        keep_logprobs(logprobs, into, choice)
    _message(choice.pop("message", None) or {}, into.message)
    if choice:
        into.extra_json = encode_json(choice)


def finish(reason: str | None, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    if reason:
        into.finish_reason = FINISH_REASONS.get(reason, chat_pb2.FINISH_REASON_OTHER)
        if into.finish_reason == chat_pb2.FINISH_REASON_OTHER:
            into.native_finish_reason = reason


def _message(message: Json, into: chat_pb2.Message) -> None:
    into.role = ROLES.get(message.pop("role", None) or "", chat_pb2.ROLE_ASSISTANT)
    if message.keys() == _TEXT_ALONE and type(message["content"]) is str:
        into.content.add().text = message["content"]
        return
    take_thinking(message, into)
    content = message.pop("content", None)
    if isinstance(content, list):
        for part in content:
            read_part(part, into.content.add())
    elif content is not None:
        text = into.content.add()
        text.text = content
        take_citations(message, text.citations)
    take_images(message, into.content)
    take_audio(message, into)
    if refusal := message.pop("refusal", None):
        into.content.add().refusal = refusal
    for call in message.pop("tool_calls", None) or ():
        keep_tool_call(call, into.tool_calls.add())
    if message:
        into.extra_json = encode_json(message)


def read_part(part: Json, into: chat_pb2.ContentPart) -> None:
    """A part of what is said, for servers that say it in parts."""
    if (thought := words_of(part)) is not None:
        into.reasoning.text = thought
        return
    if part.get("type") == "text":
        part.pop("type")
        into.text = part.pop("text")
    if part:
        into.extra_json = encode_json(part)
