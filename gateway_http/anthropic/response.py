"""A whole answer, from `tollway.chat.v1` to Anthropic's JSON; and the parts of it that a streamed answer shares.

Source: Anthropic's Messages API. An answer of another dialect becomes blocks as far as there are blocks for it; what
only that dialect knows stands under its name, in the block or, of the answer as a whole, beside the content.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any

from gateway_http.anthropic.citations import citation_json
from gateway_http.dialect import Identity
from gateway_http.foreign import put_extra, write_proof
from gateway_http.json_output import decode_json, encode_json
from mesh.call_places import as_said
from tollway.chat.v1 import chat_pb2 as pb

DIALECT = "anthropic"
INVALID_JSON = "INVALID_JSON"
"""The key of a tool's input whose text is no JSON object: Anthropic's own advice for sending such text."""

_STOP_REASONS = {
    pb.FINISH_REASON_STOP: "end_turn",
    pb.FINISH_REASON_LENGTH: "max_tokens",
    pb.FINISH_REASON_TOOL_CALLS: "tool_use",
    pb.FINISH_REASON_FUNCTION_CALL: "tool_use",
    pb.FINISH_REASON_CONTENT_FILTER: "refusal",
}
_OWN_WORDS = frozenset(
    (*_STOP_REASONS.values(), "stop_sequence", "pause_turn", "model_context_window_exceeded")
)  # fmt: skip
_TIERS = {"standard": "standard", "default": "standard", "priority": "priority", "batch": "batch"}


def encode_answer(chat: pb.ChatResponse, identity: Identity) -> bytes:
    """The answer's body. Of several choices it is the first. The identity stands in for what a provider leaves out."""
    choice = chat.choices[0] if chat.choices else pb.Choice()
    refused = any(part.WhichOneof("part") == "refusal" for part in choice.message.content)
    blocks = list(_content_blocks(choice.message, chat.dialect, identity))
    body = {
        **envelope(chat, identity),
        "content": blocks,
        **stop_json(choice, chat.dialect, refused=refused),
        "usage": usage_json(chat.usage if chat.HasField("usage") else None, chat.service_tier, chat.dialect),
    }
    for extra_json in (choice.extra_json, choice.message.extra_json, chat.extra_json):
        put_extra(body, extra_json, chat.dialect, DIALECT)
    return encode_json(body)


def envelope(answer: pb.ChatResponse | pb.ChatChunk, identity: Identity) -> dict[str, Any]:
    """What names an answer. Another dialect's id is known by what stands behind `msg_`."""
    own = answer.id and (answer.dialect == DIALECT or answer.id.startswith("msg_"))
    result = {
        "id": answer.id if own else f"msg_{answer.id or identity.request_id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or identity.model,
    }
    if answer.system_fingerprint:
        put_extra(result, encode_json({"system_fingerprint": answer.system_fingerprint}), answer.dialect, DIALECT)
    return result


def stop_json(end: pb.Choice | pb.Delta, dialect: str, *, refused: bool) -> dict[str, Any]:
    """Why the answer ended, in Anthropic's words, or in the provider's where those have none.

    `refused`: whether it is the model's own words for declining, which end as any others do.
    """
    native, reason = end.native_finish_reason, _STOP_REASONS.get(end.finish_reason)
    if native in _OWN_WORDS or reason is None:
        reason = native or "end_turn"
    elif reason == "end_turn" and end.stop_sequence:
        reason = "stop_sequence"
    elif reason == "end_turn" and refused:
        reason = "refusal"
    result: dict[str, Any] = {"stop_reason": reason, "stop_sequence": end.stop_sequence or None}
    if native and native != reason:
        result["native_finish_reason"] = native
    return result


def usage_json(usage: pb.Usage | None, tier: str, dialect: str) -> dict[str, Any]:
    """The tokens as Anthropic counts them: those of the cache are none of `input_tokens`.

    Anthropic's clients take no answer without numbers: where there is no usage they are zeros, and `known` is false.
    """
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0, "known": False}
    result: dict[str, Any] = {}
    put_extra(result, usage.extra_json, dialect, DIALECT)
    written, longer = usage.cache_write_tokens, usage.cache_write_1h_tokens
    counted: dict[str, Any] = {
        "input_tokens": max(usage.input_tokens - usage.cached_input_tokens - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": max(written - longer, 0),
            "ephemeral_1h_input_tokens": longer,
        },
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counted["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    result = counted | result  # Anthropic's own counts, where it has others of that name
    if word := usage.service_tier or tier:
        result["service_tier"] = word if dialect == DIALECT else _TIERS.get(word)
        if result["service_tier"] is None:
            put_extra(result, encode_json({"service_tier": word}), dialect, DIALECT)
    return result


def _content_blocks(message: pb.Message, dialect: str, identity: Identity) -> Iterator[dict[str, Any]]:
    for index, said in as_said(message):
        if isinstance(said, pb.ToolCall):
            yield {**tool_block(said, index, dialect, identity), "input": tool_input(said.arguments)}
        else:
            yield from part_blocks(said, dialect)


def part_blocks(part: pb.ContentPart, dialect: str) -> Iterator[dict[str, Any]]:
    """The block, or blocks, that say what the part does."""
    kind = part.WhichOneof("part")
    if kind is None:
        yield _unknown(part, dialect)
        return
    blocks = list(reasoning_blocks(part.reasoning, dialect)) if kind == "reasoning" else [_block(part, kind)]
    if part.citations:
        blocks[0]["citations"] = [citation_json(citation, dialect) for citation in part.citations]
    put_extra(blocks[0], part.extra_json, dialect, DIALECT)
    yield from blocks


def reasoning_blocks(reasoning: pb.ReasoningPart, dialect: str) -> Iterator[dict[str, Any]]:
    """Thinking that is shown, thinking that is not, or both."""
    issuer = reasoning.issuer or dialect
    if reasoning.text or reasoning.signature or not reasoning.redacted:
        proof = write_proof(issuer, reasoning.signature, DIALECT) if reasoning.signature else ""
        yield {"type": "thinking", "thinking": reasoning.text, "signature": proof}
    if reasoning.redacted:
        sealed = reasoning.redacted.decode("utf-8", "replace")
        yield {"type": "redacted_thinking", "data": write_proof(issuer, sealed, DIALECT)}


def _block(part: pb.ContentPart, kind: str) -> dict[str, Any]:
    """The block of a part that has one. Pictures, sound and documents stand as they do in questions."""
    if kind == "image":
        return {"type": "image", "source": _image_source(part.image)}
    if kind == "file":
        return _document(part.file)
    if kind == "audio":
        return {"type": "audio", **_sound(part.audio)}
    return {"type": "text", "text": part.text if kind == "text" else part.refusal}


def _image_source(image: pb.ImagePart) -> dict[str, Any]:
    if image.file_id:
        return {"type": "file", "file_id": image.file_id}
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": _base64(image.data)}


def _sound(audio: pb.AudioPart) -> dict[str, Any]:
    media_type = f"audio/{audio.format or 'wav'}"
    source = {"type": "base64", "media_type": media_type, "data": _base64(audio.data)}
    return {"id": audio.id} if audio.id else {"source": source, "transcript": audio.transcript}


def _document(file: pb.FilePart) -> dict[str, Any]:
    if file.file_id:
        source = {"type": "file", "file_id": file.file_id}
    elif file.url:
        source = {"type": "url", "url": file.url}
    else:
        source = {"type": "base64", "media_type": file.media_type, "data": _base64(file.data)}
    return {"type": "document", "source": source, "title": file.filename or None}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _unknown(part: pb.ContentPart, dialect: str) -> dict[str, Any]:
    """A part of a kind that has no message: Anthropic's own block as it was, another's under its dialect's name."""
    block: dict[str, Any] = {} if dialect == DIALECT else {"type": dialect or "openai"}
    put_extra(block, part.extra_json, dialect, DIALECT)
    return block


def tool_block(call: pb.ToolCall | pb.ToolCallDelta, index: int, dialect: str, identity: Identity) -> dict[str, Any]:
    """A call as it begins, with an id if the provider gave none: without it no result could be told apart."""
    kind = call.type if dialect == DIALECT and call.type not in ("", "function") else "tool_use"
    block: dict[str, Any] = {
        "type": kind,
        "id": call.id or f"toolu_{identity.request_id}_{index}",
        "name": call.name,
        "input": {},
    }
    if call.signature:
        block["signature"] = call.signature
    put_extra(block, call.extra_json, dialect, DIALECT)
    return block


def tool_input(arguments: str) -> dict[str, Any]:
    """The object that the arguments say; text that says none stands in one, under `INVALID_JSON`."""
    if not arguments.strip():
        return {}
    try:
        value = decode_json(arguments)
    except ValueError:
        value = None
    return value if type(value) is dict else {INVALID_JSON: arguments}
