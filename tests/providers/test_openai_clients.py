"""Every recorded answer of every provider, as clients of OpenAI's dialects get it: its own types find nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway_http.dialect import Identity
from gateway_http.openai_chat.request import Answering as Chat
from gateway_http.openai_completions.request import Answering as Completions
from gateway_http.openai_responses.request import Answering as Responses
from gateway_http.openai_responses.settings import settings_json
from services.providers.bootstrap import dialect_of
from tests.providers.test_fixtures import CASES, load, named, streamed, upstream_body
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

Json = dict[str, Any]

IDENTITY = Identity("req_1", "the-model", 1_700_000_000.5)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
DEPARTURES = {
    "openai/usage_without_counts": "usage is an object of its server's own, and stays it",
    "openai_responses/unknown_fields": "an item is of a kind that OpenAI does not have",
    "openai_responses/custom_tool_call_stream": "the types of a chat's chunks know functions alone",
}
"""Answers that no type of OpenAI's fits, which clients get all the same."""
WORDS = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def answered(case: Path) -> bool:
    """Whether there is an answer, and no error in place of it or at its end."""
    return named(case) not in DEPARTURES and "error" not in load(case / "expected.json")


WHOLE = [case for case in CASES if answered(case) and (case / "upstream.json").exists()]
STREAMS = [case for case in CASES if answered(case) and streamed(case)]


def whole(case: Path) -> pb.ChatResponse:
    return dialect_of(case.parent.name).decode_response((case / "upstream.json").read_bytes())


def chunks(case: Path) -> list[pb.ChatChunk]:
    decoder = dialect_of(case.parent.name).stream_decoder(1, 1 << 20)
    body = upstream_body(case)
    return [chunk for place in range(0, len(body), 64) for chunk in decoder.feed(body[place : place + 64])]


def strictly(body: Json) -> Json:
    """The body with OpenAI's own words where a provider's say more, which types of today cannot know."""
    body = {**body, "service_tier": None}
    for choice in body["choices"]:
        if choice["finish_reason"] not in WORDS:
            choice["finish_reason"] = "stop"
    return body


def events(raw: bytes) -> list[Json]:
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def said(given: list[pb.ChatChunk], index: int) -> str:
    """All text of a choice, that of parts that come whole included."""
    deltas = [delta for chunk in given for delta in chunk.deltas if delta.index == index]
    return "".join(delta.text + "".join(part.text for part in delta.parts) for delta in deltas)


def texts(chat: pb.ChatResponse) -> str:
    return "".join(part.text for choice in chat.choices for part in choice.message.content)


@pytest.mark.parametrize("case", WHOLE, ids=named)
def test_a_whole_answer_is_a_chat_completion(case: Path) -> None:
    chat = whole(case)

    answer = ChatCompletion.model_validate(strictly(json.loads(Chat(include_usage=True).whole(chat, IDENTITY))))

    assert "".join(choice.message.content or "" for choice in answer.choices) == texts(chat)
    calls = [call for choice in answer.choices for call in choice.message.tool_calls or ()]
    assert len(calls) == sum(len(choice.message.tool_calls) for choice in chat.choices)


@pytest.mark.parametrize("case", WHOLE, ids=named)
def test_a_whole_answer_is_a_text_completion(case: Path) -> None:
    body = strictly(json.loads(Completions("", include_usage=True).whole(whole(case), IDENTITY)))

    answer = Completion.model_validate({**body, "choices": [{**c, "finish_reason": "stop"} for c in body["choices"]]})

    assert "".join(choice.text for choice in answer.choices) == texts(whole(case))


@pytest.mark.parametrize("case", WHOLE, ids=named)
def test_a_whole_answer_is_a_response(case: Path) -> None:
    chat = whole(case)

    body = json.loads(Responses(settings_json({})).whole(chat, IDENTITY))

    said = [part.audio.transcript or part.text for choice in chat.choices for part in choice.message.content]
    assert Response.model_validate({**body, "service_tier": None}).output_text == "".join(said)


@pytest.mark.parametrize("case", STREAMS, ids=named)
def test_a_stream_is_put_together_by_the_sdk_as_a_chat_completion(case: Path) -> None:
    given = chunks(case)
    writer = Chat(include_usage=True).stream(IDENTITY)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()

    for event in events(b"".join(map(writer.encode, given)) + writer.finish(Receipt(), "0af7")):
        for _ in state.handle_chunk(ChatCompletionChunk.model_validate(strictly(event))):
            pass

    choices = {choice.index: choice.message.content or "" for choice in state.current_completion_snapshot.choices}
    assert choices == {index: said(given, index) for index in choices}


@pytest.mark.parametrize("case", STREAMS, ids=named)
def test_a_stream_is_put_together_by_the_sdk_as_a_response(case: Path) -> None:
    given = chunks(case)
    writer = Responses(settings_json({})).stream(IDENTITY)
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)

    for event in events(b"".join(map(writer.encode, given)) + writer.finish(Receipt(), "0af7")):
        if "response" in event:
            event["response"]["service_tier"] = None
        state.handle_event(EVENT.validate_python(event))
        last = event

    messages = [item for item in last["response"]["output"] if item["type"] == "message"]
    spoken = [part["text"] for item in messages for part in item["content"] if part["type"] == "output_text"]
    assert Response.model_validate(last["response"])
    assert sorted("".join(spoken)) == sorted("".join(said(given, index) for index in range(3)))
