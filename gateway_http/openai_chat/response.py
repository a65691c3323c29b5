"""A whole answer, from `tollway.chat.v1` to OpenAI's JSON; and the parts of it that a streamed answer shares."""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

from gateway_http.dialect import Identity
from gateway_http.foreign import put_extra
from gateway_http.json_output import decode_json, encode_json, put_back
from gateway_http.openai_chat.annotations import citations_json
from gateway_http.openai_chat.foreign_parts import foreign_part
from gateway_http.openai_chat.reasoning import OWN, add_reasoning, told_in_details
from tollway.chat.v1 import chat_pb2 as pb

ROLES = {
    pb.ROLE_UNSPECIFIED: "assistant",
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "developer",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
    pb.ROLE_TOOL: "tool",
    pb.ROLE_FUNCTION: "function",
}

_FINISH_REASONS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
    pb.FINISH_REASON_FUNCTION_CALL: "function_call",
}


_SOUND: dict[str, Any] = {"id": "", "data": "", "expires_at": 0, "transcript": ""}
"""What sound has in every answer of OpenAI's. Without an id, nobody holds it: it comes back as it is."""


def encode_completion(chat: pb.ChatResponse, identity: Identity) -> bytes:
    """The answer's body. The identity stands in for what a provider leaves out."""
    body: dict[str, Any] = {
        "id": chat.id or f"chatcmpl-{identity.request_id}",
        "object": "chat.completion",
        "created": chat.create_time.seconds or int(identity.now),
        "model": chat.model or identity.model,
        "choices": [_choice(choice, chat.dialect) for choice in chat.choices],
        "usage": usage_json(chat.usage, chat.dialect) if chat.HasField("usage") else None,
        "service_tier": chat.service_tier or billed_tier(chat.usage) or None,
        "system_fingerprint": chat.system_fingerprint or None,
    }
    put_extra(body, chat.extra_json, chat.dialect, OWN)
    return encode_json(body)


def _choice(choice: pb.Choice, dialect: str) -> dict[str, Any]:
    result = {
        "index": choice.index,
        "message": message_json(choice.message, dialect),
        "logprobs": logprobs_json(choice.logprobs) if choice.HasField("logprobs") else None,
        **finish_json(choice.finish_reason, choice.native_finish_reason, choice.stop_sequence),
    }
    put_extra(result, choice.extra_json, dialect, OWN)
    return result


def finish_json(reason: pb.FinishReason.ValueType, native: str, stop_sequence: str) -> dict[str, Any]:
    """The finish reason in OpenAI's words, or in the provider's where those have none; null for a choice that goes on.

    Where the provider says more, be it in its own word or which stop sequence it was, that stands beside.
    """
    result = {"finish_reason": _FINISH_REASONS.get(reason) or ((native or "stop") if reason else None)}
    if native:
        result["native_finish_reason"] = native
    if stop_sequence:
        result["stop_sequence"] = stop_sequence
    return result


def message_json(message: pb.Message, dialect: str) -> dict[str, Any]:
    result: dict[str, Any] = {"role": ROLES[message.role], "content": None, "refusal": None}
    parts = message.content
    plain = len(parts) == 1 and _is_plain(parts[0])
    if plain:
        result["content"] = parts[0].text
    else:
        add_reasoning(result, parts, dialect)
        if told_in_details(message.extra_json, dialect):
            result.pop("reasoning_details", None)
        for place, part in enumerate(parts):
            _add_part(result, place, part, dialect)
    if message.tool_calls:
        result["tool_calls"] = [_tool_call(call, dialect) for call in message.tool_calls]
    if message.extra_json:
        _add_extra(result, message.extra_json, dialect)
    if not plain and any(part.HasField("audio") for part in parts):
        result["audio"] = {**_SOUND, **result["audio"]}
    return result


def _is_plain(part: pb.ContentPart) -> bool:
    """Whether there is text, and nothing to it, as in nearly all answers."""
    return part.HasField("text") and not (part.extra_json or part.citations or part.HasField("cache_control"))


def _add_extra(message: dict[str, Any], extra_json: bytes, dialect: str) -> None:
    """What had no place; of a list (annotations) some entries may have had one."""
    known = {name: value for name, value in message.items() if isinstance(value, list)}
    put_extra(message, extra_json, dialect, OWN)
    if known and dialect in ("", OWN):
        for name, value in decode_json(extra_json).items():
            if name in known and isinstance(value, list):
                message[name] = [*known[name], *value]


def _add_part(message: dict[str, Any], place: int, part: pb.ContentPart, dialect: str) -> None:
    """Joins parts of a kind: an OpenAI message has one text and one refusal."""
    kind = part.WhichOneof("part")
    if kind == "text":
        before = message["content"] or ""
        message["content"] = before + part.text
        for name, said in citations_json(part.citations, len(before), len(message["content"]), dialect).items():
            message.setdefault(name, []).extend(said)
    elif kind == "refusal":
        message["refusal"] = (message["refusal"] or "") + part.refusal
    elif kind == "audio":
        message["audio"] = audio_json(part.audio)
    elif kind == "image":
        message.setdefault("images", []).append(image_json(part.image))
    elif kind == "file":
        message.setdefault("files", []).append(file_json(part.file))
    if not part.extra_json or kind == "reasoning":
        return
    if dialect not in ("", OWN):
        message.setdefault("content_parts", []).append(foreign_part(place, part, dialect))
    elif kind is None:
        message.setdefault("content_parts", []).append(decode_json(part.extra_json))
    else:
        put_back(message, part.extra_json)


def audio_json(audio: pb.AudioPart) -> dict[str, Any]:
    fields = {"id": audio.id, "data": _base64(audio.data), "format": audio.format, "transcript": audio.transcript}
    return {name: value for name, value in fields.items() if value}


def image_json(image: pb.ImagePart) -> dict[str, Any]:
    """A picture in an answer, as OpenRouter has it: OpenAI's chat completions make none."""
    if image.file_id:
        return {"type": "image_url", "image_url": {"file_id": image.file_id}}
    return {"type": "image_url", "image_url": {"url": image.url or _data_url(image)}}


def file_json(file: pb.FilePart) -> dict[str, Any]:
    """A document in an answer, as OpenAI has it in a question."""
    fields = {
        "filename": file.filename,
        "file_id": file.file_id,
        "file_data": file.url or (_data_url(file) if file.HasField("data") else ""),
    }
    return {"type": "file", "file": {name: value for name, value in fields.items() if value}}


def _data_url(source: pb.ImagePart | pb.FilePart) -> str:
    return f"data:{source.media_type or 'application/octet-stream'};base64,{_base64(source.data)}"


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _tool_call(call: pb.ToolCall, dialect: str) -> dict[str, Any]:
    result: dict[str, Any] = {"id": call.id, "type": call.type or "function"}
    if result["type"] == "function":
        result["function"] = {"name": call.name, "arguments": call.arguments}
    elif call.name:
        result[call.type] = {"name": call.name, "input": call.arguments}
    if call.signature:
        result["extra_content"] = thought_json(call.signature)
    put_extra(result, call.extra_json, dialect, OWN)
    return result


def thought_json(signature: str) -> dict[str, Any]:
    """Gemini's proof of the thinking that led to a call, where Google's own compatible API has it."""
    return {"google": {"thought_signature": signature}}


def logprobs_json(logprobs: pb.Logprobs) -> dict[str, Any]:
    return {
        "content": _tokens(logprobs.content) if logprobs.content or not logprobs.refusal else None,
        "refusal": _tokens(logprobs.refusal) if logprobs.refusal else None,
    }


def _tokens(tokens: Iterable[pb.TokenLogprob]) -> list[dict[str, Any]]:
    return [{**_token(token), "top_logprobs": [_token(top) for top in token.top]} for token in tokens]


def _token(token: pb.TokenLogprob) -> dict[str, Any]:
    raw = list(token.token_bytes) if token.HasField("token_bytes") else None
    return {"token": token.token, "logprob": token.logprob, "bytes": raw}


def billed_tier(usage: pb.Usage) -> str:
    """The service tier that was billed, in OpenAI's words, which stands in where an answer itself names none."""
    return "default" if usage.service_tier == "standard" else usage.service_tier


def usage_json(usage: pb.Usage, dialect: str) -> dict[str, Any]:
    prompt = {"cached_tokens": usage.cached_input_tokens, "audio_tokens": usage.input_audio_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    if usage.input_image_tokens:
        prompt["image_tokens"] = usage.input_image_tokens
    completion = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.output_audio_tokens,
        "accepted_prediction_tokens": usage.accepted_prediction_tokens,
        "rejected_prediction_tokens": usage.rejected_prediction_tokens,
    }
    if usage.output_image_tokens:
        completion["image_tokens"] = usage.output_image_tokens
    result: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
    put_extra(result, usage.extra_json, dialect, OWN)
    if usage.cache_write_1h_tokens:
        result.setdefault("cache_creation", {"ephemeral_1h_input_tokens": usage.cache_write_1h_tokens})
    result.setdefault("total_tokens", usage.input_tokens + usage.output_tokens)  # some providers sum up otherwise
    return result
