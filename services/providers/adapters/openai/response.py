"""OpenAI's JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from services.providers.adapters.openai.errors import choice_error, named_error
from services.providers.adapters.openai.extra import encode_json
from services.providers.adapters.openai.media import take_audio, take_images
from services.providers.adapters.openai.thinking import take_thinking
from services.providers.domain.failures import malformed
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]

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
_INPUT_DETAILS = {
    "cached_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_tokens": "input_audio_tokens",
    "image_tokens": "input_image_tokens",
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_tokens": "output_audio_tokens",
    "image_tokens": "output_image_tokens",
    "accepted_prediction_tokens": "accepted_prediction_tokens",
    "rejected_prediction_tokens": "rejected_prediction_tokens",
}
_OUTSIDE_DETAILS = {
    "cached_tokens": "cached_input_tokens",  # Moonshot
    "prompt_cache_hit_tokens": "cached_input_tokens",  # DeepSeek
    "cache_read_input_tokens": "cached_input_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
"""Counts that some servers give beside the details and not in them. They are kept under their own names, too."""

_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs"})

NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError)
"""What reading an answer of another shape than OpenAI's raises, from here or from protobuf's own type checks."""
_decode = msgspec.json.Decoder().decode


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED, or the error that a 200 carried."""
    try:
        answer = parse(body)
        if named := named_error(answer):
            raise named
        return _response(answer)
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not a chat completion ({type(error).__name__})") from None


def parse(data: bytes) -> Json:
    """A JSON object. Bytes that are not UTF-8 become U+FFFD. Raises ValueError for anything else."""
    try:
        value = _decode(data)
    except ValueError:
        value = _decode(data.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


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
    take_thinking(message, into)
    content = message.pop("content", None)
    if isinstance(content, list):
        for part in content:
            _part(part, into.content.add())
    elif content is not None:
        text = into.content.add()
        text.text = content
        take_citations(message, text.citations)
    take_images(message, into)
    take_audio(message, into)
    if refusal := message.pop("refusal", None):
        into.content.add().refusal = refusal
    for call in message.pop("tool_calls", None) or ():
        _tool_call(call, into.tool_calls.add())
    if message:
        into.extra_json = encode_json(message)


def _part(part: Json, into: chat_pb2.ContentPart) -> None:
    if part.get("type") == "text":
        part.pop("type")
        into.text = part.pop("text")
    if part:
        into.extra_json = encode_json(part)


def _tool_call(call: Json, into: chat_pb2.ToolCall) -> None:
    into.id = call.pop("id", None) or ""
    into.type = call.pop("type", None) or "function"
    if function := call.pop("function", None):
        into.name = function.pop("name", None) or ""
        into.arguments = arguments(function.pop("arguments", None))
        if function:
            call["function"] = function
    take_signature(call, into)
    if call:
        into.extra_json = encode_json(call)


def take_signature(call: Json, into: chat_pb2.ToolCall | chat_pb2.ToolCallDelta) -> None:
    """Takes out the proof of the thinking behind a call, where Google puts it; what stands beside it stays."""
    match call.get("extra_content"):
        case {"google": {"thought_signature": str() as signature, **others}, **rest}:
            into.signature = signature
            if others:
                rest["google"] = others
            if rest:
                call["extra_content"] = rest
            else:
                del call["extra_content"]


def take_citations(said: Json, into: Any) -> None:
    """Takes out the annotations that say where a text comes from, if they do in OpenAI's shape."""
    annotations = said.get("annotations")
    if annotations and isinstance(annotations, list) and all(map(_is_citation, annotations)):
        del said["annotations"]
        for annotation in annotations:
            _citation(annotation, into.add())


def _is_citation(annotation: Any) -> bool:
    match annotation:
        case {"type": "url_citation", "url_citation": {"url": str(), **rest}}:
            texts = (rest.get("title", ""), rest.get("content", ""))
            places = (rest.get("start_index", 0), rest.get("end_index", 0))
            return all(type(each) is str for each in texts) and all(type(each) is int for each in places)
    return False


def _citation(annotation: Json, into: chat_pb2.Citation) -> None:
    into.type = annotation.pop("type")
    about = annotation.pop(into.type)
    into.url, into.title, into.cited_text = about.pop("url"), about.pop("title", ""), about.pop("content", "")
    for name, field in (("start_index", "answer_start"), ("end_index", "answer_end")):
        if name in about:
            setattr(into, field, about.pop(name))
    if about:
        annotation[into.type] = about
    if annotation:
        into.extra_json = encode_json(annotation)


def arguments(value: Any) -> str:
    """The arguments' text; some servers send them as an object."""
    if isinstance(value, str):
        return value
    return encode_json(value).decode() if value is not None else ""


class Counted(Protocol):
    """An answer that may say what it took."""

    @property
    def usage(self) -> chat_pb2.Usage: ...


def keep_usage(usage: Any, into: Counted, around: Json, service_tier: str) -> None:
    """Fills `into.usage`, or puts back into `around` what counts no tokens."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        around["usage"] = usage
        return
    counts = into.usage
    counts.Clear()
    counts.service_tier = service_tier
    counts.input_tokens = usage.pop("prompt_tokens")
    counts.output_tokens = usage.pop("completion_tokens", None) or 0
    for name, known in (("prompt_tokens_details", _INPUT_DETAILS), ("completion_tokens_details", _OUTPUT_DETAILS)):
        if (details := usage.pop(name, None)) and (unknown := _details(details, known, counts)):
            usage[name] = unknown
    for name, field in _OUTSIDE_DETAILS.items():
        if (value := usage.get(name)) and not getattr(counts, field):
            setattr(counts, field, value)
    if isinstance(lifetimes := usage.get("cache_creation"), dict):
        counts.cache_write_1h_tokens = lifetimes.get("ephemeral_1h_input_tokens") or 0
    total, stated = usage.pop("total_tokens", None), counts.input_tokens + counts.output_tokens
    if total == stated + counts.reasoning_tokens:  # xAI counts thinking beside the answer; here it is part of it
        counts.output_tokens = total - counts.input_tokens
    elif total not in (None, stated):
        usage["total_tokens"] = total
    if usage:
        counts.extra_json = encode_json(usage)


def _details(details: Json, known: dict[str, str], into: chat_pb2.Usage) -> Json:
    """Fills in what is known, and returns the rest."""
    unknown = {}
    for name, value in details.items():
        if field := known.get(name):
            setattr(into, field, value or 0)
        else:
            unknown[name] = value
    return unknown


def keep_logprobs(logprobs: Any, into: chat_pb2.Choice | chat_pb2.Delta, around: Json) -> None:
    """Fills `into.logprobs`, or puts back into `around` what is not in OpenAI's shape."""
    if not isinstance(logprobs, dict) or not logprobs.keys() <= {"content", "refusal"} or not _plain(logprobs):
        around["logprobs"] = logprobs
        return
    into.logprobs.SetInParent()
    for drawn in logprobs.get("content") or ():
        _token(drawn, into.logprobs.content.add())
    for drawn in logprobs.get("refusal") or ():
        _token(drawn, into.logprobs.refusal.add())


def _plain(logprobs: Json) -> bool:
    """Whether every token has the fields that there are places for, and no others."""
    return all(
        token.keys() <= _TOKEN and all(other.keys() <= _TOKEN for other in token.get("top_logprobs") or ())
        for tokens in logprobs.values()
        for token in tokens or ()
    )


def _token(drawn: Json, into: chat_pb2.TokenLogprob) -> None:
    into.token = drawn["token"]
    into.logprob = drawn["logprob"]
    if (raw := drawn.get("bytes")) is not None:
        into.token_bytes = bytes(raw)
    for other in drawn.get("top_logprobs") or ():
        _token(other, into.top.add())
