"""Cohere's chat JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from services.providers.adapters.cohere.citations import keep_citation
from services.providers.adapters.cohere.errors import finish_error
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object
from tollway.chat.v1 import chat_pb2

DIALECT = "cohere"
FINISH_REASONS = {
    "COMPLETE": chat_pb2.FINISH_REASON_STOP,
    "STOP_SEQUENCE": chat_pb2.FINISH_REASON_STOP,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_LENGTH,
    "TOOL_CALL": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "ERROR_TOXIC": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
_SAY_NO_MORE = {"COMPLETE", "MAX_TOKENS", "TOOL_CALL"}
FAILED = ("ERROR", "TIMEOUT")
"""Finish reasons that are none: the answer broke off."""

NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError)
"""What reading an answer of another shape than Cohere's raises, from here or from protobuf's own type checks."""


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED, and what an answer that broke off says of it."""
    try:
        return _response(sent_object(body))
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not one of Cohere's ({type(error).__name__})") from None


def _response(answer: Json) -> chat_pb2.ChatResponse:
    response = chat_pb2.ChatResponse(dialect=DIALECT, id=answer.pop("id", None) or "")
    reason = answer.pop("finish_reason")
    if reason in FAILED:
        raise finish_error(reason, answer)
    choice = response.choices.add()
    finish(reason, choice)
    _message(answer.pop("message"), choice.message)
    if logprobs := answer.pop("logprobs", None):
        choice.extra_json = encode_json({"logprobs": logprobs})
        for item in logprobs:
            keep_logprobs(item, choice.logprobs)
    if usage := answer.pop("usage", None):
        keep_usage(usage, response.usage)
    if answer:
        response.extra_json = encode_json(answer)
    return response


def _message(message: Json, into: chat_pb2.Message) -> None:
    into.role = chat_pb2.ROLE_ASSISTANT
    message.pop("role", None)
    if plan := message.pop("tool_plan", None):
        into.content.add().reasoning.text = plan
    before = len(into.content)
    content = message.pop("content", None) or ()
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        _part(part, into.content.add())
    for call in message.pop("tool_calls", None) or ():
        _tool_call(call, into.tool_calls.add())
    for citation in message.pop("citations", None) or ():
        _citation(citation, before, into)
    if message:
        into.extra_json = encode_json(message)


def _part(part: Json, into: chat_pb2.ContentPart) -> None:
    kind = part.get("type")
    if kind == "text":
        into.text = part.pop("text")
    elif kind == "thinking":
        into.reasoning.text = part.pop("thinking")
    if kind in ("text", "thinking"):
        del part["type"]
    if part:
        into.extra_json = encode_json(part)


def _tool_call(call: Json, into: chat_pb2.ToolCall) -> None:
    into.id, into.type = call.pop("id", None) or "", call.pop("type", None) or "function"
    function = call.pop("function", None) or {}
    into.name = function.pop("name", None) or ""
    into.arguments = function.pop("arguments", None) or ""
    if function:
        call["function"] = function
    if call:
        into.extra_json = encode_json(call)


def _citation(citation: Json, before: int, into: chat_pb2.Message) -> None:
    """Puts a citation to the part it is about: that of its index, else the first."""
    if not into.content:
        into.content.add().text = ""
    place = before + (citation.pop("content_index", None) or 0)
    part = into.content[place if place < len(into.content) else 0]
    keep_citation(citation, part.citations.add())


def finish(reason: str, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    into.finish_reason = FINISH_REASONS.get(reason, chat_pb2.FINISH_REASON_OTHER)
    if reason not in _SAY_NO_MORE:
        into.native_finish_reason = reason


def keep_logprobs(item: Json, into: chat_pb2.Logprobs) -> None:
    """A piece of text and its tokens' probabilities: its own, where it is one token. Which tokens stays beside it."""
    logprobs: list[float] = item.get("logprobs") or []
    into.SetInParent()
    if len(logprobs) == 1:
        into.content.add(token=item.get("text") or "", logprob=logprobs[0])


def keep_usage(usage: Json, counts: chat_pb2.Usage) -> None:
    """Fills in the counts: those that are billed.

    Cohere tells two. `tokens` is what the model read and wrote, with what Cohere put around the question;
    `billed_units` is what is paid for. Where nothing is billed by the token, the first counts. What was told stays
    beside the counts, both as they are.
    """
    billed, read = usage.get("billed_units") or {}, usage.get("tokens") or {}
    by = billed if billed.get("input_tokens") is not None or billed.get("output_tokens") is not None else read
    counts.input_tokens = int(by.get("input_tokens") or 0)
    counts.output_tokens = int(by.get("output_tokens") or 0)
    counts.cached_input_tokens = min(int(usage.get("cached_tokens") or 0), counts.input_tokens)
    if usage:
        counts.extra_json = encode_json(usage)
