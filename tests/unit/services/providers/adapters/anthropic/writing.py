"""Anthropic's answers as its server would write them, whole and streamed, and what a client makes of the chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from tests.unit.services.providers.adapters.anthropic.reading import Json
from tollway.chat.v1 import chat_pb2 as pb

Cut = Callable[[str], list[str]]
"""How a text is cut into pieces."""

_REASONS = {
    pb.FINISH_REASON_STOP: "end_turn",
    pb.FINISH_REASON_LENGTH: "max_tokens",
    pb.FINISH_REASON_TOOL_CALLS: "tool_use",
    pb.FINISH_REASON_CONTENT_FILTER: "refusal",
}
_ENDS = {"char_location": "char_index", "page_location": "page_number", "content_block_location": "block_index"}


def body_of(answer: pb.ChatResponse) -> bytes:
    """The whole answer."""
    return orjson.dumps({**_envelope(answer), "content": _blocks(answer), **_ending(answer), "usage": _usage(answer)})


def stream_of(answer: pb.ChatResponse, cut: Cut) -> bytes:
    """The events of the answer, streamed."""
    counts = _usage(answer)
    begin = {**_envelope(answer), "content": [], "stop_reason": None, "usage": {**counts, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": begin}, {"type": "ping"}]
    for index, block in enumerate(_blocks(answer)):
        start, deltas = _deltas(block, cut)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    counted = {"output_tokens": counts["output_tokens"]}
    if "output_tokens_details" in counts:
        counted["output_tokens_details"] = counts["output_tokens_details"]
    events += [{"type": "message_delta", "delta": _ending(answer), "usage": counted}, {"type": "message_stop"}]
    return b"".join(b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events)


def joined(chunks: Iterable[pb.ChatChunk]) -> pb.ChatResponse:
    """What a client has in the end that puts the chunks together."""
    answer = pb.ChatResponse()
    choice = answer.choices.add()
    parts: dict[int, pb.ContentPart] = {}
    for chunk in chunks:
        answer.id, answer.model = chunk.id or answer.id, chunk.model or answer.model
        answer.dialect = chunk.dialect or answer.dialect
        if chunk.HasField("usage"):
            answer.usage.CopyFrom(chunk.usage)
        for delta in chunk.deltas:
            _join(delta, choice, parts)
    choice.message.content.extend(parts[place] for place in sorted(parts))
    return answer


def _join(delta: pb.Delta, choice: pb.Choice, parts: dict[int, pb.ContentPart]) -> None:
    choice.message.role = delta.role or choice.message.role
    choice.finish_reason = delta.finish_reason or choice.finish_reason
    choice.stop_sequence = delta.stop_sequence or choice.stop_sequence
    choice.native_finish_reason = delta.native_finish_reason or choice.native_finish_reason
    for call in delta.tool_calls:
        if call.index == len(choice.message.tool_calls):
            choice.message.tool_calls.add(id=call.id, type=call.type, name=call.name)
        choice.message.tool_calls[call.index].arguments += call.arguments
    for whole in delta.parts:
        parts[delta.part] = whole
    if delta.text or delta.citations:
        part = parts.setdefault(delta.part, pb.ContentPart(text=""))
        part.text += delta.text
        part.citations.extend(delta.citations)
    if delta.HasField("reasoning"):
        thinking = parts.setdefault(delta.part, pb.ContentPart()).reasoning
        thinking.text += delta.reasoning.text
        thinking.signature += delta.reasoning.signature
        thinking.redacted += delta.reasoning.redacted
        thinking.issuer = delta.reasoning.issuer or thinking.issuer


def _envelope(answer: pb.ChatResponse) -> Json:
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model}


def _ending(answer: pb.ChatResponse) -> Json:
    choice = answer.choices[0]
    reason = choice.native_finish_reason or _REASONS[choice.finish_reason]
    return {"stop_reason": reason, "stop_sequence": choice.stop_sequence or None}


def _usage(answer: pb.ChatResponse) -> Json:
    usage = answer.usage
    fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    counts: Json = {
        "input_tokens": fresh,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": usage.service_tier,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts


def _blocks(answer: pb.ChatResponse) -> list[Json]:
    message = answer.choices[0].message
    calls: list[Json] = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
        for call in message.tool_calls
    ]
    return [_block(part) for part in message.content] + calls


def _block(part: pb.ContentPart) -> Json:
    if part.extra_json:
        block: Json = orjson.loads(part.extra_json)
        return block
    if not part.HasField("reasoning"):
        said: Json = {"type": "text", "text": part.text}
        return {**said, "citations": [_citation(each) for each in part.citations]} if part.citations else said
    if part.reasoning.redacted:
        return {"type": "redacted_thinking", "data": part.reasoning.redacted.decode()}
    return {"type": "thinking", "thinking": part.reasoning.text, "signature": part.reasoning.signature}


def _citation(citation: pb.Citation) -> Json:
    end = _ENDS[citation.type]
    return {
        "type": citation.type,
        "cited_text": citation.cited_text,
        "document_index": citation.document_index,
        "document_title": citation.title or None,
        f"start_{end}": citation.source_start,
        f"end_{end}": citation.source_end,
    }


def _deltas(block: Json, cut: Cut) -> tuple[Json, list[Json]]:
    """How a block opens, and what comes after."""
    kind = block["type"]
    if kind == "text":
        pieces: list[Json] = [{"type": "text_delta", "text": text} for text in cut(block["text"])]
        cited = block.get("citations", ())
        return {"type": "text", "text": ""}, pieces + [{"type": "citations_delta", "citation": each} for each in cited]
    if kind == "thinking":
        pieces = [{"type": "thinking_delta", "thinking": text} for text in cut(block["thinking"])]
        proof = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*pieces, proof]
    if kind in ("tool_use", "server_tool_use"):
        written = _piecemeal(block["input"], cut)
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text} for text in written]
    return block, []


def _piecemeal(value: Any, cut: Cut) -> list[str]:
    """A call without arguments is written as nothing at all."""
    return cut(orjson.dumps(value).decode()) if value else [""]
