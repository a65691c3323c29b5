"""An answer of OpenAI's Responses as an object: whole, or as the events of a stream show it."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway_http.dialect import Identity
from gateway_http.foreign import put_extra
from gateway_http.json_output import encode_json
from gateway_http.openai_chat.response import billed_tier
from gateway_http.openai_responses.events import Events
from gateway_http.openai_responses.items import OWN
from gateway_http.openai_responses.output import Output
from mesh.call_places import as_said
from tollway.chat.v1 import chat_pb2 as pb

_INCOMPLETE = {
    pb.FINISH_REASON_LENGTH: "max_output_tokens",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class About(NamedTuple):
    """What an answer is called, and who gave it when (Unix seconds)."""

    id: str
    created_at: int
    model: str
    service_tier: str = ""


def about(answer: pb.ChatResponse | pb.ChatChunk, identity: Identity) -> About:
    """What the answer, or the first piece of it, says; the identity stands in for what it leaves out."""
    return About(
        answer.id or f"resp_{identity.request_id}",
        answer.create_time.seconds or int(identity.now),
        answer.model or identity.model,
        answer.service_tier or billed_tier(answer.usage),
    )


def ended(reason: pb.FinishReason.ValueType, native: str, stop_sequence: str) -> dict[str, Any]:
    """The fields that say how an answer came to its end; the provider's own words where they say more."""
    incomplete = _INCOMPLETE.get(reason)
    fields: dict[str, Any] = {
        "status": "incomplete" if incomplete else "completed",
        "incomplete_details": {"reason": incomplete} if incomplete else None,
    }
    if native:
        fields["native_finish_reason"] = native
    if stop_sequence:
        fields["stop_sequence"] = stop_sequence
    return fields


def response_json(of: About, settings: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": of.id,
        "object": "response",
        "created_at": of.created_at,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": of.model,
        "output": [],
        "usage": None,
        "service_tier": of.service_tier or None,
        **settings,
        **fields,
    }


def encode_response(chat: pb.ChatResponse, identity: Identity, settings: dict[str, Any]) -> bytes:
    """The answer's body. The identity stands in for what a provider leaves out."""
    output = Output(identity.request_id, Events())
    for choice in chat.choices:
        _put(choice, output, chat.dialect)
    fields: dict[str, Any] = {}
    if chat.choices:
        first = chat.choices[0]
        fields = ended(first.finish_reason, first.native_finish_reason, first.stop_sequence)
    usage = usage_json(chat.usage, chat.dialect) if chat.HasField("usage") else None
    body = response_json(about(chat, identity), settings, output=output.items, usage=usage, **fields)
    for extra_json in (chat.extra_json, *(choice.extra_json for choice in chat.choices)):
        put_extra(body, extra_json, chat.dialect, OWN)
    for choice in chat.choices:
        put_extra(body, choice.message.extra_json, chat.dialect, OWN)
    if chat.system_fingerprint:
        body["system_fingerprint"] = chat.system_fingerprint
    return encode_json(body)


def _put(choice: pb.Choice, output: Output, dialect: str) -> None:
    saying = output.choice(choice.index)
    begun: set[str | None] = set()
    for place, part in as_said(choice.message):
        if isinstance(part, pb.ToolCall):
            saying.call(place, part, dialect)
            continue
        kind = part.WhichOneof("part")
        if kind not in begun:  # probabilities are of all that was said, which is one text where there are any
            begun.add(kind)
            if kind == "text":
                saying.say("", place, choice.logprobs)
            elif kind == "refusal":
                saying.refuse("", place, choice.logprobs)
        saying.add(part, place, dialect)
    saying.finish(choice.finish_reason)


def usage_json(usage: pb.Usage, dialect: str) -> dict[str, Any]:
    read: dict[str, Any] = {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": usage.cache_write_tokens}
    written: dict[str, Any] = {"reasoning_tokens": usage.reasoning_tokens}
    for details, counts in (
        (read, {"audio_tokens": usage.input_audio_tokens, "image_tokens": usage.input_image_tokens}),
        (read, {"cache_write_1h_tokens": usage.cache_write_1h_tokens}),
        (written, {"audio_tokens": usage.output_audio_tokens, "image_tokens": usage.output_image_tokens}),
        (written, {"accepted_prediction_tokens": usage.accepted_prediction_tokens}),
        (written, {"rejected_prediction_tokens": usage.rejected_prediction_tokens}),
    ):
        details.update({name: count for name, count in counts.items() if count})
    result: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": read,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": written,
    }
    put_extra(result, usage.extra_json, dialect, OWN)
    result.setdefault("total_tokens", usage.input_tokens + usage.output_tokens)
    return result
