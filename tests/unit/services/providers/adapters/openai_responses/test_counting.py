from __future__ import annotations

import json

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai_responses import decode_count, encode_count
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

HI = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])


def test_what_decides_the_number_of_tokens_is_told_and_nothing_else() -> None:
    chat = chat_pb2.ChatRequest(
        messages=[HI],
        tools=[chat_pb2.ToolDefinition(name="f")],
        reasoning_effort="low",
        user="ann",
        sampling=chat_pb2.SamplingOptions(temperature=0.5, max_output_tokens=9),
    )
    encoded = encode_count(chat, "m", Unsaid())
    assert encoded.path == "/responses/input_tokens"
    body = json.loads(encoded.body)
    assert body.keys() == {"model", "input", "tools", "reasoning"}
    assert body["input"] == [{"role": "user", "content": "Hi"}]


def test_the_count_is_read() -> None:
    assert decode_count(b'{"object":"response.input_tokens","input_tokens":11}') == 11


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"input_tokens":"many"}', b'{"input_tokens":1.5}', b"[]"])
def test_an_answer_without_a_count_is_malformed(body: bytes) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_count(body)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_an_error_in_place_of_a_count_is_that_error() -> None:
    with pytest.raises(TollwayError, match="Slow down") as caught:
        decode_count(b'{"error":{"message":"Slow down","code":"rate_limit_exceeded"}}')
    assert caught.value.reason is Reason.UPSTREAM_RATE_LIMITED
