"""Converse's JSON to ChatResponse. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from base64 import b64decode

from mesh.call_places import forget_last_places
from services.providers.adapters.bedrock.citations import keep_citation
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object
from tollway.chat.v1 import chat_pb2

DIALECT = "bedrock"
FINISH_REASONS = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "max_tokens": chat_pb2.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_LENGTH,
    "content_filtered": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "guardrail_intervened": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
_SAY_NO_MORE = {"end_turn", "tool_use", "max_tokens", "content_filtered"}
_COUNTS = {
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cached_input_tokens",
    "cacheWriteInputTokens": "cache_write_tokens",
}

NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError)
"""What reading an answer of another shape than Converse's raises, from here or from protobuf's own type checks."""


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body. Raises UPSTREAM_MALFORMED."""
    try:
        return _response(sent_object(body))
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not one of Converse ({type(error).__name__})") from None


def _response(answer: Json) -> chat_pb2.ChatResponse:
    response = chat_pb2.ChatResponse(dialect=DIALECT)
    output = answer.pop("output")
    message = output.pop("message")
    if output:
        answer["output"] = output
    choice = response.choices.add()
    choice.message.role = chat_pb2.ROLE_ASSISTANT
    message.pop("role", None)
    for block in message.pop("content", None) or ():
        _block(block, choice.message)
    forget_last_places(choice.message)
    if message:
        choice.message.extra_json = encode_json(message)
    finish(answer.pop("stopReason"), choice)
    keep_stop_sequence(answer, choice)
    keep_around(answer, response)
    if answer:
        response.extra_json = encode_json(answer)
    return response


def _block(block: Json, into: chat_pb2.Message) -> None:
    kind = next(iter(block), "")
    if kind == "toolUse" and "type" not in block[kind]:
        _tool_use(block, into.tool_calls.add(place=len(into.content)))
        return
    part = into.content.add()
    if kind == "text":
        part.text = block.pop("text")
    elif kind == "reasoningContent":
        _reasoning(block, part)
    elif kind == "citationsContent":
        _cited(block, part)
    elif kind == "image" and "bytes" in block[kind].get("source", {}):
        image = block.pop("image")
        keep_image(image.pop("format"), b64decode(image.pop("source")["bytes"]), part)
        if image:
            block["image"] = image
    if block:
        part.extra_json = encode_json(block)


def _tool_use(block: Json, into: chat_pb2.ToolCall) -> None:
    use = block.pop("toolUse")
    into.id, into.type, into.name = use.pop("toolUseId"), "function", use.pop("name")
    into.arguments = encode_json(use.pop("input", {})).decode()
    if use:
        block["toolUse"] = use
    if block:
        into.extra_json = encode_json(block)


def _reasoning(block: Json, part: chat_pb2.ContentPart) -> None:
    thought = block.pop("reasoningContent")
    if said := thought.pop("reasoningText", None):
        part.reasoning.text = said.pop("text", None) or ""
        if signature := said.pop("signature", None):
            part.reasoning.signature, part.reasoning.issuer = signature, DIALECT
        if said:
            thought["reasoningText"] = said
    if encrypted := thought.pop("redactedContent", None):
        part.reasoning.redacted, part.reasoning.issuer = encrypted.encode(), DIALECT
    if thought:
        block["reasoningContent"] = thought


def _cited(block: Json, part: chat_pb2.ContentPart) -> None:
    cited = block.pop("citationsContent")
    part.text = "".join(each["text"] for each in cited.pop("content", None) or ())
    for citation in cited.pop("citations", None) or ():
        keep_citation(citation, part.citations.add())
    if cited:
        block["citationsContent"] = cited


def keep_image(picture_format: str, data: bytes, part: chat_pb2.ContentPart) -> None:
    part.image.data = data
    part.image.media_type = f"image/{picture_format}"


def finish(reason: str, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    into.finish_reason = FINISH_REASONS.get(reason, chat_pb2.FINISH_REASON_OTHER)
    if reason not in _SAY_NO_MORE:
        into.native_finish_reason = reason


def keep_stop_sequence(around: Json, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    """Takes out which stop sequence ended the answer; every question that has any asks for it."""
    fields = around.get("additionalModelResponseFields")
    if isinstance(fields, dict) and "stop_sequence" in fields:
        into.stop_sequence = fields.pop("stop_sequence") or ""
        if not fields:
            del around["additionalModelResponseFields"]


def keep_around(around: Json, into: chat_pb2.ChatResponse | chat_pb2.ChatChunk) -> None:
    """Takes out what is said about the call: its tier, what it took, and which model a prompt router chose."""
    tier = around.get("serviceTier")
    if isinstance(tier, dict) and tier.keys() == {"type"}:
        into.service_tier = around.pop("serviceTier")["type"]
    if (around.get("usage") or {}).get("inputTokens") is not None:
        keep_usage(around.pop("usage"), into.usage)
        into.usage.service_tier = into.service_tier
    if model := ((around.get("trace") or {}).get("promptRouter") or {}).get("invokedModelId"):
        into.model = model


def keep_usage(usage: Json, counts: chat_pb2.Usage) -> None:
    """Fills in the counts.

    Converse counts what was read from its cache and written to it beside `inputTokens`, and not in it; here it is all
    input.
    """
    counts.Clear()
    for name, field in _COUNTS.items():
        setattr(counts, field, usage.pop(name, None) or 0)
    counts.input_tokens = usage.pop("inputTokens") + counts.cached_input_tokens + counts.cache_write_tokens
    others = []
    for written in usage.pop("cacheDetails", None) or ():
        if written.get("ttl") == "1h":
            counts.cache_write_1h_tokens += written["inputTokens"]
        elif written.get("ttl") != "5m":
            others.append(written)
    if others:
        usage["cacheDetails"] = others
    total = usage.pop("totalTokens", None)
    if total not in (None, counts.input_tokens + counts.output_tokens):
        usage["totalTokens"] = total
    if usage:
        counts.extra_json = encode_json(usage)
