"""A whole answer, from `tollway.chat.v1` to OpenAI's JSON; and the parts of it that a streamed answer shares."""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

from gateway_http.dialect import Identity
from gateway_http.json_output import decode_json, encode_json, put_back
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


def encode_completion(chat: pb.ChatResponse, identity: Identity) -> bytes:
    """The answer's body. The identity stands in for what a provider leaves out."""
    body: dict[str, Any] = {
        "id": chat.id or f"chatcmpl-{identity.request_id}",
        "object": "chat.completion",
        "created": chat.create_time.seconds or int(identity.now),
        "model": chat.model or identity.model,
        "choices": [_choice(choice) for choice in chat.choices],
        "usage": usage_json(chat.usage) if chat.HasField("usage") else None,
        "service_tier": chat.service_tier or None,
        "system_fingerprint": chat.system_fingerprint or None,
    }
    put_back(body, chat.extra_json)
    return encode_json(body)


def _choice(choice: pb.Choice) -> dict[str, Any]:
    result = {
        "index": choice.index,
        "message": _message(choice.message),
        "logprobs": logprobs_json(choice.logprobs) if choice.HasField("logprobs") else None,
        **finish_json(choice.finish_reason, choice.native_finish_reason),
    }
    put_back(result, choice.extra_json)
    return result


def finish_json(reason: pb.FinishReason.ValueType, native: str) -> dict[str, Any]:
    """The finish reason in OpenAI's words, or in the provider's where those have none; null for a choice that goes on.

    Where the provider's word says more, it stands beside.
    """
    result = {"finish_reason": _FINISH_REASONS.get(reason) or ((native or "stop") if reason else None)}
    if native:
        result["native_finish_reason"] = native
    return result


def _message(message: pb.Message) -> dict[str, Any]:
    result: dict[str, Any] = {"role": ROLES[message.role], "content": None, "refusal": None}
    for part in message.content:
        _add_part(result, part)
    if message.tool_calls:
        result["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    put_back(result, message.extra_json)
    return result


def _add_part(message: dict[str, Any], part: pb.ContentPart) -> None:
    """Joins parts of a kind: an OpenAI message has one text, one refusal, one train of thought."""
    kind = part.WhichOneof("part")
    if kind == "text":
        message["content"] = (message["content"] or "") + part.text
    elif kind == "refusal":
        message["refusal"] = (message["refusal"] or "") + part.refusal
    elif kind == "reasoning":
        message["reasoning_content"] = message.get("reasoning_content", "") + part.reasoning.text
    elif kind == "audio":
        message["audio"] = _audio(part.audio)
    elif kind == "image":
        message.setdefault("images", []).append({"type": "image_url", "image_url": {"url": _image_url(part.image)}})
    if kind is None:
        message.setdefault("content_parts", []).append(decode_json(part.extra_json or b"{}"))
    else:
        put_back(message, part.extra_json)


def _audio(audio: pb.AudioPart) -> dict[str, Any]:
    fields = {"id": audio.id, "data": _base64(audio.data), "format": audio.format, "transcript": audio.transcript}
    return {name: value for name, value in fields.items() if value}


def _image_url(image: pb.ImagePart) -> str:
    return image.url or f"data:{image.media_type};base64,{_base64(image.data)}"


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _tool_call(call: pb.ToolCall) -> dict[str, Any]:
    result: dict[str, Any] = {"id": call.id, "type": call.type or "function"}
    if result["type"] == "function":
        result["function"] = {"name": call.name, "arguments": call.arguments}
    put_back(result, call.extra_json)
    return result


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


def usage_json(usage: pb.Usage) -> dict[str, Any]:
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
    put_back(result, usage.extra_json)
    result.setdefault("total_tokens", usage.input_tokens + usage.output_tokens)  # some providers sum up otherwise
    return result
