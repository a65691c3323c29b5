from __future__ import annotations

import json

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.gemini import decode_count, encode_count
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

USER = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])
SYSTEM = chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, content=[chat_pb2.ContentPart(text="Short.")])
HI = [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_a_conversation_alone_is_counted_in_the_words_that_both_apis_know() -> None:
    encoded = encode_count(
        chat_pb2.ChatRequest(messages=[USER], sampling=chat_pb2.SamplingOptions(temperature=1)),
        "gemini-3-pro",
        Unsaid(),
    )
    assert encoded.path == "/models/gemini-3-pro:countTokens"
    assert json.loads(encoded.body) == {"contents": HI}


def test_what_steers_it_is_counted_with_it() -> None:
    chat = chat_pb2.ChatRequest(messages=[SYSTEM, USER], tools=[chat_pb2.ToolDefinition(name="f")])
    assert json.loads(encode_count(chat, "gemini-3-pro", Unsaid()).body) == {
        "generateContentRequest": {
            "model": "models/gemini-3-pro",
            "contents": HI,
            "systemInstruction": {"parts": [{"text": "Short."}]},
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
        }
    }


def test_the_count_is_read() -> None:
    assert decode_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>", b'{"totalTokens": "many"}'])
def test_a_body_that_counts_nothing_is_an_error(body: bytes) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_count(body)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
