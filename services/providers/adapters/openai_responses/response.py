"""A response's JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from mesh.call_places import forget_last_places
from mesh.errors import TollwayError
from services.providers.adapters.openai.errors import named_error
from services.providers.adapters.openai.halves import parse
from services.providers.adapters.openai.response import NOT_UNDERSTOOD
from services.providers.adapters.openai_responses.errors import failure
from services.providers.adapters.openai_responses.items import DIALECT
from services.providers.adapters.openai_responses.output import keep_item
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_ECHOED = frozenset(
    {
        "background",
        "conversation",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncation",
        "user",
    }
)
"""What a response repeats of its question. What may have become something else (`reasoning`, `temperature`) is kept."""
_SAID_ELSEWHERE = frozenset({"object", "error", "output", "output_text"})
_INCOMPLETE = {
    "max_output_tokens": chat_pb2.FINISH_REASON_LENGTH,
    "content_filter": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
_ENDED = ("completed", "incomplete")


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED, or the error of a response that failed."""
    try:
        answer = parse(body)
        if failed := failure_in(answer):
            raise failed
        if answer.get("status", "completed") not in _ENDED:
            raise malformed(f"the provider's response is not at its end but {answer['status']!s:.20}")
        return _response(answer)
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not a response ({type(error).__name__})") from None


def failure_in(answer: Json) -> TollwayError | None:
    """How the response failed, if it did."""
    if answer.get("status") in ("failed", "cancelled"):
        return failure(answer.get("error"))
    return named_error(answer)


def _response(answer: Json) -> chat_pb2.ChatResponse:
    response = chat_pb2.ChatResponse(dialect=DIALECT)
    identify(response, answer)
    choice = response.choices.add()
    choice.message.role = chat_pb2.ROLE_ASSISTANT
    for item in answer.pop("output"):
        keep_item(item, choice)
    forget_last_places(choice.message)
    finish(answer, choice, called=bool(choice.message.tool_calls))
    keep_usage(answer, response)
    if rest := remaining(answer):
        response.extra_json = encode_json(rest)
    return response


def identify(into: chat_pb2.ChatResponse | chat_pb2.ChatChunk, answer: Json) -> None:
    """Takes out of a response what names it, and its model."""
    into.id = answer.pop("id", None) or ""
    into.model = answer.pop("model", None) or ""
    created = answer.pop("created_at", None)
    if isinstance(created, (int, float)):
        into.create_time.seconds = int(created)
    into.service_tier = answer.pop("service_tier", None) or ""


def finish(answer: Json, into: chat_pb2.Choice | chat_pb2.Delta, *, called: bool) -> None:
    """Takes out of a response how it ended. `called`: it asks for tools of the client's."""
    details = answer.pop("incomplete_details", None)
    if answer.pop("status", "completed") != "incomplete":
        into.finish_reason = chat_pb2.FINISH_REASON_TOOL_CALLS if called else chat_pb2.FINISH_REASON_STOP
        return
    reason = details.get("reason") if isinstance(details, dict) else None
    into.finish_reason = _INCOMPLETE.get(reason or "", chat_pb2.FINISH_REASON_OTHER)
    if into.finish_reason == chat_pb2.FINISH_REASON_OTHER:
        into.native_finish_reason = reason or "incomplete"


def keep_usage(answer: Json, into: chat_pb2.ChatResponse | chat_pb2.ChatChunk) -> None:
    """Takes the tokens out of a response. What counts none stays."""
    usage = answer.get("usage")
    if not isinstance(usage, dict) or usage.get("input_tokens") is None:
        return
    del answer["usage"]
    counts = into.usage
    counts.service_tier = into.service_tier
    counts.input_tokens, counts.output_tokens = usage.pop("input_tokens"), usage.pop("output_tokens", None) or 0
    details = usage.get("input_tokens_details")
    if isinstance(details, dict):
        counts.cached_input_tokens = details.pop("cached_tokens", None) or 0
        counts.cache_write_tokens = details.pop("cache_write_tokens", None) or 0
    details = usage.get("output_tokens_details")
    if isinstance(details, dict):
        counts.reasoning_tokens = details.pop("reasoning_tokens", None) or 0
    if usage.get("total_tokens") == counts.input_tokens + counts.output_tokens:
        del usage["total_tokens"]
    if rest := {name: value for name, value in usage.items() if value not in (None, {})}:
        counts.extra_json = encode_json(rest)


def remaining(answer: Json) -> Json:
    """The fields that have no place, without those that repeat the question or say nothing."""
    return {
        name: value
        for name, value in answer.items()
        if name not in _ECHOED and name not in _SAID_ELSEWHERE and value is not None
    }
