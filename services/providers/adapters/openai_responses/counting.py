"""Having OpenAI count a question's tokens: `POST /responses/input_tokens`, which takes what decides their number."""

from __future__ import annotations

import msgspec

from services.providers.adapters.openai.errors import named_error
from services.providers.adapters.openai.halves import parse
from services.providers.adapters.openai.response import NOT_UNDERSTOOD
from services.providers.adapters.openai_responses.request import encode_request
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import written
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_COUNTED = frozenset(
    {
        "input",
        "model",
        "parallel_tool_calls",
        "personality",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)


def encode_count(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that has the question's tokens counted. Raises as `encode_request`."""
    body = msgspec.json.decode(encode_request(chat, model, False, unsaid).body)
    counted = {name: value for name, value in body.items() if name in _COUNTED}
    return Encoded("/responses/input_tokens", written(counted))


def decode_count(body: bytes) -> int:
    """How many there are. Raises UPSTREAM_MALFORMED, or the error that the body carries."""
    try:
        answer = parse(body)
        if named := named_error(answer):
            raise named
        count = answer["input_tokens"]
        if type(count) is not int:
            raise TypeError("not a whole number")
        return count
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer counts no tokens ({type(error).__name__})") from None
