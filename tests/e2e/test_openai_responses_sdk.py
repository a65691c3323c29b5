"""The official OpenAI SDK's Responses, unmodified, against the real thing in every topology."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.e2e.processes import Mesh
from tests.e2e.test_openai_sdk import Invoice

QUESTION = "The quick brown fox"
WEATHER: list[Any] = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather somewhere.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    }
]


@pytest.fixture
def client(mesh: Mesh) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20, _strict_response_validation=True
    ) as client:
        yield client


def test_an_answer_is_whole_and_says_what_it_cost(client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="sim/echo", input=QUESTION, instructions="Say it again.")
    answer = raw.parse()

    assert (answer.output_text, answer.status, answer.instructions) == (QUESTION, "completed", "Say it again.")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert raw.headers["x-tollway-deployment"] == "sim/echo"
    assert float(raw.headers["x-tollway-cost-usd"]) > 0


def test_nothing_is_stored_whatever_is_asked_for(client: OpenAI) -> None:
    answer = client.responses.create(model="sim/echo", input=QUESTION, store=True)

    assert (answer.model_extra or {})["store"] is False
    with pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model="sim/echo", input=QUESTION, previous_response_id=answer.id)
    assert raised.value.param == "previous_response_id"


def test_a_stream_is_numbered_and_comes_to_the_whole_answer(client: OpenAI) -> None:
    with client.responses.stream(model="sim/reasoning", input=QUESTION) as stream:
        events = list(stream)
        answer = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert "".join(texts) == answer.output_text != ""
    thought: Any = answer.output[0]
    assert "".join(thoughts) == thought.summary[0].text != ""
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    assert events[-1].type == "response.completed"
    whole = client.responses.create(model="sim/reasoning", input=QUESTION)
    assert whole.output_text == answer.output_text


def test_the_last_raw_event_says_how_it_came_about(client: OpenAI) -> None:
    *_, end = client.responses.create(model="sim/echo", input=QUESTION, stream=True)

    assert set((end.model_extra or {})["tollway"]) == {"cost_usd", "attempts", "deployment", "trace_id"}


def test_parallel_calls_are_accumulated_and_answered(client: OpenAI) -> None:
    with client.responses.stream(model="sim/text:calls=3", input=QUESTION, tools=WEATHER) as stream:
        for _ in stream:
            pass
        asked = stream.get_final_response()

    calls: list[Any] = [item for item in asked.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather"] * 3
    assert all(json.loads(call.arguments)["unit"] in ("celsius", "fahrenheit") for call in calls)
    answers = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{i} °C"} for i, call in enumerate(calls)
    ]
    said: Any = [{"role": "user", "content": QUESTION}, *[item.to_dict() for item in asked.output], *answers]
    answered = client.responses.create(model="sim", input=said, tools=WEATHER)
    assert answered.output_text == "The tools answered: 0 °C 1 °C 2 °C"


def test_structured_output_parses_whole_and_streamed(client: OpenAI) -> None:
    whole = client.responses.parse(model="sim", input=QUESTION, text_format=Invoice)
    assert isinstance(whole.output_parsed, Invoice)
    with client.responses.stream(model="sim", input=QUESTION, text_format=Invoice) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_response().output_parsed, Invoice)


def test_a_conversation_goes_on_with_the_items_of_the_answer(client: OpenAI) -> None:
    first = client.responses.create(model="sim/reasoning", input=QUESTION)
    said: Any = [{"role": "user", "content": QUESTION}, *[item.to_dict() for item in first.output]]

    second = client.responses.create(model="sim/echo", input=[*said, {"role": "user", "content": "And then?"}])

    assert second.output_text == "And then?"
    assert second.usage is not None
    assert second.usage.input_tokens_details.cached_tokens > 0


def test_log_probabilities_come_with_the_text(client: OpenAI) -> None:
    answer = client.responses.create(
        model="sim/echo", input=QUESTION, include=["message.output_text.logprobs"], top_logprobs=2
    )

    message: Any = answer.output[0]
    (part,) = message.content
    assert "".join(token.token for token in part.logprobs) == QUESTION
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs)


def test_an_answer_that_is_cut_short_is_incomplete(client: OpenAI) -> None:
    with client.responses.stream(model="sim/echo", input=QUESTION, max_output_tokens=2) as stream:
        last = list(stream)[-1]

    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert (last.response.incomplete_details.reason, last.response.output_text) == ("max_output_tokens", "The quick")


async def test_the_asynchronous_client_streams_too(mesh: Mesh) -> None:
    async with AsyncOpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20) as client:
        stream = await client.responses.create(model="sim/echo", input=QUESTION, stream=True)
        assert (
            "".join([event.delta async for event in stream if event.type == "response.output_text.delta"]) == QUESTION
        )


def test_a_stream_that_is_cut_fails_and_raises(client: OpenAI) -> None:
    seen: list[Any] = []
    stream = client.responses.create(model="sim/cut", input=QUESTION, stream=True)

    with pytest.raises(openai.APIError) as raised:
        seen.extend(stream)

    assert raised.value.code == "upstream_cut"
    assert seen[-1].type == "response.failed"
    assert not any(event.type == "response.completed" for event in seen)


@pytest.mark.parametrize(
    ("model", "raised"),
    [
        ("no-such-model", openai.NotFoundError),
        ("sim/status-400", openai.BadRequestError),
        ("sim/content-filter", openai.BadRequestError),
    ],
)
def test_errors_are_of_the_class_the_sdk_has_for_them(
    client: OpenAI, model: str, raised: type[openai.APIStatusError]
) -> None:
    with pytest.raises(raised):
        client.responses.create(model=model, input=QUESTION, stream=True)
