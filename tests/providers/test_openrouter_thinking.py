"""Thinking with its proofs, as OpenRouter tells it: what clients make of it is what goes back upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from gateway_http import anthropic, openai_chat, openai_responses
from gateway_http.dialect import Identity
from gateway_http.openai_chat.request import Answering
from services.providers.bootstrap import dialect_of
from services.providers.domain.unsaid import Unsaid
from tests.unit.gateway_http.edge import events
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

Json = dict[str, Any]

WHO = Identity("req_1", "m", 0.0)
OPENROUTER = dialect_of("openrouter")
TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"
CLAUDE = [
    {"content": "", "reasoning": "H", "reasoning_details": [{"type": TEXT, "text": "H", "format": "c", "index": 0}]},
    {"content": "", "reasoning": "m.", "reasoning_details": [{"type": TEXT, "text": "m.", "format": "c", "index": 0}]},
    {"content": "", "reasoning_details": [{"type": TEXT, "signature": "SIG", "format": "c", "index": 0}]},
]
GEMINI = [
    {
        "content": "",
        "reasoning": "Hm.",
        "reasoning_details": [{"type": TEXT, "text": "Hm.", "format": "g", "index": 0}],
    },
    {"content": "", "reasoning_details": [{"type": ENCRYPTED, "data": "ENC", "id": "t_1", "format": "g", "index": 1}]},
]
GEMINI_AT_ONE_PLACE = [
    GEMINI[0],
    {"content": "", "reasoning_details": [{"type": ENCRYPTED, "data": "ENC", "id": "t_1", "format": "g", "index": 0}]},
]
GPT = [
    {
        "content": "",
        "reasoning": "A",
        "reasoning_details": [{"type": SUMMARY, "summary": "A", "format": "o", "index": 0}],
    },
    {
        "content": "",
        "reasoning": "b",
        "reasoning_details": [
            {"type": SUMMARY, "summary": "b", "format": "o", "index": 0},
            {"type": ENCRYPTED, "data": "ENC", "id": "rs_1", "format": "o", "index": 1},
        ],
    },
]
PLAIN = [
    {"content": "", "reasoning": "H", "reasoning_details": [{"type": TEXT, "text": "H", "index": 0}]},
    {"content": "", "reasoning": "m.", "reasoning_details": [{"type": TEXT, "text": "m.", "format": "c", "index": 0}]},
    {"content": "", "reasoning_details": [{"type": TEXT, "signature": "SIG", "index": 0}]},
]


@pytest.mark.parametrize("thoughts", [CLAUDE, GEMINI, GEMINI_AT_ONE_PLACE, GPT, PLAIN])
def test_streamed_thinking_is_put_together_and_sent_back_as_openrouter_told_it(thoughts: list[Json]) -> None:
    upstream = [event({"role": "assistant", "content": ""}), *map(event, thoughts), event({"content": "Hi"}, "stop")]

    direct, edged = put_together(upstream), put_together(through_the_edge(upstream))

    assert edged["reasoning_details"] == direct["reasoning_details"]
    assert edged["reasoning_content"] == direct["reasoning"]
    assert sent_back(edged)["reasoning_details"] == direct["reasoning_details"]
    assert sent_back(edged)["reasoning"] == direct["reasoning"]


DETAILS: list[Json] = [
    {"type": TEXT, "text": "Hm.", "signature": "SIG", "format": "c", "index": 0},
    {"type": ENCRYPTED, "data": "ENC", "id": "t_1", "format": "g", "index": 1},
]


def test_whole_thinking_is_shown_and_sent_back_as_openrouter_told_it() -> None:
    shown = json.loads(Answering(include_usage=False).whole(answered(), WHO))["choices"][0]["message"]

    assert shown["reasoning_details"] == DETAILS
    assert sent_back(shown)["reasoning_details"] == DETAILS


def test_proofs_come_back_with_what_belongs_to_them_from_clients_of_other_dialects() -> None:
    asked: Json = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    content = json.loads(anthropic.decode(dict(asked), 9).answering.whole(answered(), WHO))["content"]
    for block in content:
        block.pop("openai", None)
    asked["messages"].append({"role": "assistant", "content": content})
    assert told(anthropic.decode(asked, 9).request.chat, 1)["reasoning_details"] == DETAILS

    asked = {"model": "m", "input": [{"role": "user", "content": "Hi"}]}
    items = json.loads(openai_responses.decode(dict(asked), 9).answering.whole(answered(), WHO))["output"]
    for item in items:
        item.pop("openai", None)
    asked["input"] += items
    assert told(openai_responses.decode(asked, 9).request.chat, 1)["reasoning_details"] == DETAILS


def answered() -> pb.ChatResponse:
    message = {"role": "assistant", "content": "Hi", "reasoning": "Hm.", "reasoning_details": DETAILS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return OPENROUTER.decode_response(json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode())


def event(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def through_the_edge(upstream: list[Json]) -> list[Json]:
    decoder = OPENROUTER.stream_decoder(1, 1 << 20)
    writer = Answering(include_usage=False).stream(WHO)
    told = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in upstream]
    written = b"".join(writer.encode(chunk) for piece in told for chunk in decoder.feed(piece))
    said: list[Json] = events(written + writer.finish(Receipt(), ""))[:-1]
    return said


def put_together(told: list[Json]) -> Json:
    """The message that OpenAI's SDK makes of the events."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in told:
        for _ in state.handle_chunk(ChatCompletionChunk.model_validate(each)):
            pass
    message: Json = state.get_final_completion().choices[0].message.to_dict(mode="json")
    return message


def sent_back(message: Json) -> Json:
    chat = openai_chat.decode({"model": "m", "messages": [message]}, max_messages=1).request.chat
    return told(chat, 0)


def told(chat: pb.ChatRequest, place: int) -> Json:
    """The message that goes upstream there."""
    sent: Json = json.loads(OPENROUTER.encode_request(chat, "m", False, Unsaid()).body)["messages"][place]
    return sent
