"""A whole answer, from `tollway.chat.v1` to OpenAI's text completion; and the parts that a streamed answer shares.

What a chat model says beside text (thinking, a refusal, sources) stands in the choice, as in a chat's message.
"""

from __future__ import annotations

from typing import Any

from gateway_http.dialect import Identity
from gateway_http.foreign import put_extra
from gateway_http.json_output import encode_json
from gateway_http.openai_chat.reasoning import OWN
from gateway_http.openai_chat.response import billed_tier, finish_json, message_json, usage_json
from tollway.chat.v1 import chat_pb2 as pb


def encode_completion(chat: pb.ChatResponse, identity: Identity, echo: str) -> bytes:
    """The answer's body. The identity stands in for what a provider leaves out, `echo` before each choice's text."""
    body: dict[str, Any] = {
        "id": chat.id or f"cmpl-{identity.request_id}",
        "object": "text_completion",
        "created": chat.create_time.seconds or int(identity.now),
        "model": chat.model or identity.model,
        "choices": [_choice(choice, echo, chat.dialect) for choice in chat.choices],
        "usage": usage_json(chat.usage, chat.dialect) if chat.HasField("usage") else None,
        "system_fingerprint": chat.system_fingerprint or None,
    }
    if tier := chat.service_tier or billed_tier(chat.usage):
        body["service_tier"] = tier
    put_extra(body, chat.extra_json, chat.dialect, OWN)
    return encode_json(body)


def _choice(choice: pb.Choice, echo: str, dialect: str) -> dict[str, Any]:
    message = message_json(choice.message, dialect)
    result = {
        "text": echo + (message["content"] or ""),
        "index": choice.index,
        "logprobs": logprobs_json(choice.logprobs, len(echo)) if choice.HasField("logprobs") else None,
        **finish_json(choice.finish_reason, choice.native_finish_reason, choice.stop_sequence),
        **beside(message),
    }
    put_extra(result, choice.extra_json, dialect, OWN)
    return result


def beside(message: dict[str, Any]) -> dict[str, Any]:
    """What a message says beside its text."""
    return {
        name: value for name, value in message.items() if name not in ("role", "content", "index") and value is not None
    }


def logprobs_json(logprobs: pb.Logprobs, offset: int) -> dict[str, Any]:
    """Token by token; `offset` characters stand before the first. An alternative's text counts once, as its key."""
    tokens = logprobs.content
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    alternatives = [{top.token: top.logprob for top in token.top} for token in tokens]
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": alternatives if any(alternatives) else None,
        "text_offset": offsets,
    }
