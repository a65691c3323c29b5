"""Whole numbers in schemas and arguments have as many digits as they had, whoever is asked and whoever answers."""

from __future__ import annotations

import pytest

from services.providers.bootstrap import dialect_of
from services.providers.domain.unsaid import Unsaid
from tests.providers.framing import frames
from tollway.chat.v1 import chat_pb2

LONG = "123456789012345678901234567890"
SCHEMA = f'{{"type":"object","properties":{{"n":{{"maximum":{LONG}}}}}}}'.encode()
ARGUMENTS = f'{{"n":{LONG}}}'
ANSWERS = {
    "anthropic": f"""{{"id": "m", "content": [{{"type": "tool_use", "id": "t", "name": "f", "input": {ARGUMENTS}}}],
        "stop_reason": "tool_use"}}""",
    "gemini": f"""{{"candidates": [{{"content": {{"parts": [{{"functionCall": {{"name": "f", "args": {ARGUMENTS}}}}}]}},
        "finishReason": "STOP"}}]}}""",
    "bedrock": f"""{{"output": {{"message": {{"content": [{{"toolUse": {{"toolUseId": "t", "name": "f",
        "input": {ARGUMENTS}}}}}]}}}}, "stopReason": "tool_use"}}""",
}


@pytest.mark.parametrize("name", ["anthropic", "gemini", "bedrock", "cohere", "openai", "openai_responses"])
def test_a_question_says_every_digit(name: str) -> None:
    call = chat_pb2.ToolCall(id="t", type="function", name="f", arguments=ARGUMENTS)
    tool = chat_pb2.ToolDefinition(type="function", name="f", parameters_json=SCHEMA)
    user = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])
    answer = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
    result = chat_pb2.Message(role=chat_pb2.ROLE_TOOL, tool_call_id="t", content=[chat_pb2.ContentPart(text="1")])
    chat = chat_pb2.ChatRequest(messages=[user, answer, result], tools=[tool])
    assert dialect_of(name).encode_request(chat, "m", False, Unsaid()).body.count(LONG.encode()) == 2


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_every_digit(name: str) -> None:
    answer = dialect_of(name).decode_response(ANSWERS[name].encode())
    assert answer.choices[0].message.tool_calls[0].arguments == ARGUMENTS


def test_what_has_no_field_of_its_own_has_every_digit_whole_and_streamed() -> None:
    whole = f'{{"output": {{"message": {{"content": [{{"new": {ARGUMENTS}}}]}}}}, "stopReason": "end_turn"}}'
    answer = dialect_of("bedrock").decode_response(whole.encode())
    assert LONG.encode() in answer.choices[0].message.content[0].extra_json
    decoder = dialect_of("bedrock").stream_decoder(1, 1 << 20)
    (chunk,) = decoder.feed(frames(f'{{"event": "messageStart", "payload": {{"role": "assistant", "new": {LONG}}}}}'))
    assert LONG.encode() in chunk.extra_json
