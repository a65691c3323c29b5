"""The official OpenAI SDK, unmodified, against the real thing in every topology."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.e2e.processes import Mesh

QUESTION: list[Any] = [{"role": "user", "content": "The quick brown fox"}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather somewhere.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
                "required": ["city", "unit"],
            },
        },
    }
]


class Invoice(BaseModel):
    number: str
    lines: list[str]
    total: float
    paid: bool


@pytest.fixture
def client(mesh: Mesh) -> Iterator[OpenAI]:
    with OpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def test_an_answer_is_whole_and_says_what_it_cost(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="sim/echo", messages=QUESTION)
    answer = raw.parse()
    assert answer.choices[0].message.content == "The quick brown fox"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-tollway-deployment"] == "sim/echo"
    assert raw.headers["x-tollway-attempts"] == "1"
    assert float(raw.headers["x-tollway-cost-usd"]) > 0
    assert len(raw.headers["x-tollway-trace-id"]) == 32
    assert raw.headers["x-request-id"]


def test_a_stream_joins_to_the_same_text_and_ends_with_a_finish_reason(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="sim/echo", messages=QUESTION, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "The quick brown fox"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    receipt: Any = chunks[-1].model_extra
    assert set(receipt["tollway"]) == {"cost_usd", "attempts", "deployment", "trace_id"}


def test_a_stream_shows_usage_where_it_was_asked_for_with_the_receipt_on_it(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="sim/echo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert [bool((chunk.model_extra or {}).get("tollway")) for chunk in chunks].count(True) == 1
    assert (chunks[-1].model_extra or {})["tollway"]["deployment"] == "sim/echo"


async def test_the_asynchronous_client_streams_too(mesh: Mesh) -> None:
    async with AsyncOpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20) as client:
        answer = await client.chat.completions.create(model="sim/echo", messages=QUESTION)
        assert answer.choices[0].message.content == "The quick brown fox"
        stream = await client.chat.completions.create(model="sim/echo", messages=QUESTION, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == "The quick brown fox"


def test_a_tool_is_called_answered_and_talked_about(client: OpenAI) -> None:
    first = client.chat.completions.create(model="sim", messages=QUESTION, tools=WEATHER)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) >= {"city", "unit"}
    results: list[Any] = [*QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "21 °C"}]
    second = client.chat.completions.create(model="sim", messages=results, tools=WEATHER)
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


def test_streamed_tool_arguments_are_accumulated_by_the_sdk(client: OpenAI) -> None:
    with client.chat.completions.stream(model="sim", messages=QUESTION, tools=WEATHER) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    calls: Any = answer.choices[0].message.tool_calls
    assert calls[0].function.name == "get_weather"
    assert json.loads(calls[0].function.arguments)["unit"] in ("celsius", "fahrenheit")


def test_parallel_calls_are_accumulated_by_the_sdk_and_answered(client: OpenAI) -> None:
    with client.chat.completions.stream(model="sim/text:calls=3", messages=QUESTION, tools=WEATHER) as stream:
        done = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
        message = stream.get_final_completion().choices[0].message
    assert done == ["get_weather"] * 3
    calls: Any = message.tool_calls
    assert len({call.id for call in calls}) == 3
    assert all(json.loads(call.function.arguments)["unit"] in ("celsius", "fahrenheit") for call in calls)
    answers = [{"role": "tool", "tool_call_id": call.id, "content": f"{i} °C"} for i, call in enumerate(calls)]
    said: Any = [*QUESTION, message.model_dump(), *answers]
    answered = client.chat.completions.create(model="sim", messages=said, tools=WEATHER)
    assert answered.choices[0].message.content == "The tools answered: 0 °C 1 °C 2 °C"


def test_log_probabilities_and_refusals_are_accumulated_by_the_sdk(client: OpenAI) -> None:
    with client.chat.completions.stream(model="sim/echo", messages=QUESTION, logprobs=True, top_logprobs=2) as stream:
        *_, last = [event for event in stream if event.type == "logprobs.content.done"]
    assert "".join(token.token for token in last.content) == "The quick brown fox"
    with client.chat.completions.stream(model="sim/refusal", messages=QUESTION) as stream:
        *_, refused = [event for event in stream if event.type == "refusal.done"]
    assert refused.refusal.startswith("I'm sorry")


def test_an_answer_can_be_sent_back_as_the_sdk_writes_it_down(client: OpenAI) -> None:
    message = client.chat.completions.create(model="sim/reasoning", messages=QUESTION).choices[0].message
    said: Any = [*QUESTION, message.model_dump(), {"role": "user", "content": "And then?"}]
    answer = client.chat.completions.create(model="sim/echo", messages=said)
    assert answer.choices[0].message.content == "And then?"


def test_completions_of_old_are_whole_and_streamed_with_usage(client: OpenAI) -> None:
    whole = client.completions.create(model="sim/echo", prompt="Once upon a time", logprobs=1, echo=True)
    assert whole.choices[0].text == "Once upon a time" * 2
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.text_offset == [16, 20, 25, 27]
    chunks = list(
        client.completions.create(
            model="sim/echo", prompt="Once upon a time", stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Once upon a time"
    assert chunks[-1].usage == whole.usage
    assert (chunks[-1].model_extra or {})["tollway"]["deployment"] == "sim/echo"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="sim/echo", prompt=["a", "b"])
    assert caught.value.param == "prompt"


def test_structured_output_parses_whole_and_streamed(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(model="sim", messages=QUESTION, response_format=Invoice)
    assert isinstance(parsed.choices[0].message.parsed, Invoice)
    with client.chat.completions.stream(model="sim", messages=QUESTION, response_format=Invoice) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Invoice)


def test_several_choices_keep_their_places(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="sim", messages=QUESTION, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    ends = {}
    for chunk in client.chat.completions.create(model="sim", messages=QUESTION, n=3, stream=True):
        for choice in chunk.choices:
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert ends == {0: "stop", 1: "stop", 2: "stop"}


def test_models_are_listed_and_looked_up_by_names_with_slashes(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"sim", "sim/echo", "sim/cut:after=5"} <= names
    assert client.models.retrieve("sim/echo").id == "sim/echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "raised", "code"),
    [
        ("no-such-model", openai.NotFoundError, "model_not_found"),
        ("sim/status-400", openai.BadRequestError, "upstream_rejected"),
        ("sim/status-429:retry-after=0,tokens=5", openai.RateLimitError, "upstream_rate_limited"),
        ("sim/context-length", openai.BadRequestError, "context_length_exceeded"),
        ("sim/content-filter", openai.BadRequestError, "content_filter"),
    ],
)
def test_errors_are_of_the_class_the_sdk_has_for_them(
    client: OpenAI, model: str, raised: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
    assert caught.value.code == code
    assert caught.value.response.headers["x-tollway-trace-id"]


def test_a_wrong_type_is_named_by_its_path(client: OpenAI) -> None:
    wrong: Any = [{"role": "user", "content": 7}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="sim", messages=wrong)
    assert caught.value.param == "messages[0].content"


def test_a_stream_that_is_cut_raises_and_never_finishes(client: OpenAI) -> None:
    chunks: list[Any] = []
    stream = client.chat.completions.create(model="sim/cut", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError) as caught:
        chunks.extend(stream)
    assert chunks
    assert caught.value.code == "upstream_cut"
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


def test_the_sdks_timeout_ends_a_silent_call(mesh: Mesh) -> None:
    with (
        OpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=0.5) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="sim/silence", messages=QUESTION)


def test_the_sdk_retries_what_may_be_repeated_and_only_that(mesh: Mesh) -> None:
    with OpenAI(base_url=mesh.base_url, api_key="none", max_retries=1, timeout=20) as client:
        for model, retried in (("sim/status-429:retry-after=0,tokens=7", True), ("sim/status-401", False)):
            seen: list[str] = []
            client._client.event_hooks["response"] = [
                lambda r, seen=seen: seen.append(r.request.headers["x-stainless-retry-count"])
            ]
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(model=model, messages=QUESTION)
            assert seen == (["0", "1"] if retried else ["0"])
