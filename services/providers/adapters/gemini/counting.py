"""Counting a question's tokens: countTokens.

The conversation alone is said the same way to the Gemini API and to Vertex AI. What steers it (a system prompt, tools)
the Gemini API takes as a whole question, in a field that Vertex AI does not know: there it is refused by the provider.
"""

from __future__ import annotations

from services.providers.adapters.gemini.reading import reading
from services.providers.adapters.gemini.request import question, resource
from services.providers.domain.json_objects import Json, written
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_COUNTED = ("contents", "systemInstruction", "tools", "toolConfig", "cachedContent")


def encode_count(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that counts. Raises as `encode_request` does."""
    asked = question(chat, model, unsaid)
    body: Json = {name: asked[name] for name in _COUNTED if name in asked}
    if body.keys() != {"contents"}:
        body = {"generateContentRequest": {"model": resource(model), **body}}
    return Encoded(f"/{resource(model)}:countTokens", written(body))


def decode_count(body: bytes) -> int:
    """Raises UPSTREAM_MALFORMED, or the error that the body carries."""
    with reading("a count of tokens", body) as answer:
        return int(answer["totalTokens"])
