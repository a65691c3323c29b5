"""The official Anthropic SDK, unmodified and strict about answers, against the real thing in every topology."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from pydantic import BaseModel

from tests.e2e.processes import Mesh

USER: Any = {"role": "user", "content": "The quick brown fox"}
QUESTION: dict[str, Any] = {"max_tokens": 400, "messages": [USER]}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather somewhere.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class Invoice(BaseModel):
    number: str
    lines: list[str]
    total: float
    paid: bool


@pytest.fixture
def client(mesh: Mesh) -> Iterator[Anthropic]:
    with Anthropic(
        base_url=mesh.http, api_key="none", max_retries=0, timeout=20, _strict_response_validation=True
    ) as client:
        yield client


def test_an_answer_is_whole_and_says_what_it_cost(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(model="sim/echo", **QUESTION)
    answer = raw.parse()
    assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "The quick brown fox"}]
    assert (answer.stop_reason, answer.stop_sequence, answer.role) == ("end_turn", None, "assistant")
    assert answer.id.startswith("msg_")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert raw.headers["x-tollway-deployment"] == "sim/echo"
    assert float(raw.headers["x-tollway-cost-usd"]) > 0
    assert len(raw.headers["x-tollway-trace-id"]) == 32
    assert raw.headers["request-id"] == answer._request_id


def test_a_stream_is_put_together_by_the_sdk(client: Anthropic) -> None:
    with client.messages.stream(model="sim/echo:rate=100", **QUESTION) as stream:
        texts = list(stream.text_stream)
        answer = stream.get_final_message()
    assert len(texts) > 1
    assert "".join(texts) == "The quick brown fox"
    assert answer.content[0].to_dict() == {"type": "text", "text": "The quick brown fox"}
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert stream.request_id


def test_the_events_of_a_stream_come_in_their_order_with_the_receipt_near_the_end(client: Anthropic) -> None:
    told = list(client.messages.create(model="sim/echo", stream=True, **QUESTION))
    kinds = [event.type for event in told]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    receipt: Any = told[-2].model_extra
    assert set(receipt["tollway"]) == {"cost_usd", "attempts", "deployment", "trace_id"}


async def test_the_asynchronous_client_answers_and_streams_too(mesh: Mesh) -> None:
    async with AsyncAnthropic(base_url=mesh.http, auth_token="none", max_retries=0, timeout=20) as client:
        answer = await client.messages.create(model="sim/echo", **QUESTION)
        assert answer.content[0].to_dict()["text"] == "The quick brown fox"
        async with client.messages.stream(model="sim/echo", **QUESTION) as stream:
            assert "".join([text async for text in stream.text_stream]) == "The quick brown fox"
            assert (await stream.get_final_message()).stop_reason == "end_turn"


def test_a_system_prompt_may_be_blocks_that_are_worth_keeping(client: Anthropic) -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    plain = client.messages.create(model="sim/echo", **QUESTION)
    told = client.messages.create(model="sim/echo", system=system, **QUESTION)
    assert told.usage.input_tokens > plain.usage.input_tokens


def test_a_tool_is_called_answered_and_talked_about(client: Anthropic) -> None:
    first = client.messages.create(model="sim", tools=[WEATHER], **QUESTION)
    assert first.stop_reason == "tool_use"
    call: Any = first.content[-1]
    assert (call.type, call.name) == ("tool_use", "get_weather")
    assert set(call.input) >= {"city", "unit"}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21 °C"}]}
    turns: Any = [USER, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model="sim", max_tokens=400, messages=turns, tools=[WEATHER])
    assert second.stop_reason == "end_turn"
    assert "21 °C" in str(second.content[0].to_dict()["text"])


@pytest.mark.parametrize("calls", [1, 3])
def test_streamed_arguments_are_accumulated_by_the_sdk(client: Anthropic, calls: int) -> None:
    with client.messages.stream(model=f"sim/text:calls={calls}", tools=[WEATHER], **QUESTION) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "input_json"]
        answer = stream.get_final_message()
    told: Any = answer.content
    assert [block.name for block in told] == ["get_weather"] * calls
    assert len({block.id for block in told}) == calls
    assert all(block.input["unit"] in ("celsius", "fahrenheit") for block in told)
    assert snapshots[-1] == told[-1].input
    assert answer.stop_reason == "tool_use"


def test_the_sdks_own_loop_of_tools_comes_to_an_end(client: Anthropic) -> None:
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather somewhere.

        Args:
            city: Where.
        """
        asked.append(city)
        return "21 °C"

    # It depends on betas that only Anthropic knows.
    client = client.with_options(default_headers={"x-tollway-drop-unsupported": "1"})
    runner = client.beta.messages.tool_runner(model="sim", tools=[get_weather], **QUESTION)
    last: Any = runner.until_done()
    assert len(asked) == 1
    assert "21 °C" in last.content[0].text


def test_a_tool_may_be_asked_for_by_name_or_not_at_all(client: Anthropic) -> None:
    other: Any = {**WEATHER, "name": "get_time"}
    named = client.messages.create(
        model="sim", tools=[WEATHER, other], tool_choice={"type": "tool", "name": "get_time"}, **QUESTION
    )
    none = client.messages.create(model="sim", tools=[WEATHER], tool_choice={"type": "none"}, **QUESTION)
    assert [block.to_dict()["name"] for block in named.content] == ["get_time"]
    assert [block.type for block in none.content] == ["text"]


def test_structured_output_parses_whole_and_streamed(client: Anthropic) -> None:
    parsed = client.messages.parse(model="sim", output_format=Invoice, **QUESTION)
    assert isinstance(parsed.parsed_output, Invoice)
    with client.messages.stream(model="sim", output_format=Invoice, **QUESTION) as stream:
        assert isinstance(stream.get_final_message().parsed_output, Invoice)


def test_thinking_comes_before_the_answer(client: Anthropic) -> None:
    answer = client.messages.create(model="sim/reasoning", **QUESTION)
    with client.messages.stream(model="sim/reasoning", **QUESTION) as stream:
        thoughts = [event.thinking for event in stream if event.type == "thinking"]
        streamed = stream.get_final_message()
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in answer.content]
    assert len(thoughts) > 1
    assert streamed.usage.output_tokens_details is not None


def test_a_refusal_is_said_and_named(client: Anthropic) -> None:
    answer = client.messages.create(model="sim/refusal", **QUESTION)
    assert answer.stop_reason == "refusal"
    assert str(answer.content[0].to_dict()["text"]).startswith("I'm sorry")


def test_a_cap_on_tokens_ends_an_answer(client: Anthropic) -> None:
    answer = client.messages.create(model="sim", max_tokens=3, messages=[USER])
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_pictures_are_taken(client: Anthropic) -> None:
    content: Any = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "text", "text": "What is this?"},
    ]
    answer = client.messages.create(model="sim/echo", max_tokens=64, messages=[{"role": "user", "content": content}])
    assert answer.content[0].to_dict()["text"] == "What is this?"


def test_tokens_are_counted(client: Anthropic) -> None:
    short = client.messages.count_tokens(model="sim/echo", messages=[USER])
    long = client.messages.count_tokens(model="sim/echo", messages=[USER], system="Be brief. " * 50)
    assert 0 < short.input_tokens < long.input_tokens


LIMITED = "sim/status-429:retry-after=0,tokens=4"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "raised", "kind", "code"),
    [
        ("no-such-model", anthropic.NotFoundError, "not_found_error", "model_not_found"),
        ("sim/status-400", anthropic.BadRequestError, "invalid_request_error", "upstream_rejected"),
        (
            "sim/status-429:retry-after=0,tokens=4",
            anthropic.RateLimitError,
            "rate_limit_error",
            "upstream_rate_limited",
        ),
        ("sim/context-length", anthropic.BadRequestError, "invalid_request_error", "context_length_exceeded"),
        ("sim/content-filter", anthropic.BadRequestError, "invalid_request_error", "content_filter"),
    ],
)
def test_errors_are_of_the_class_the_sdk_has_for_them(
    client: Anthropic, model: str, raised: type[anthropic.APIStatusError], kind: str, code: str, stream: bool
) -> None:
    with pytest.raises(raised) as caught:
        client.messages.create(model=model, stream=stream, **QUESTION)
    assert (caught.value.type, caught.value.error_code) == (kind, code)
    assert caught.value.request_id
    assert caught.value.response.headers["x-tollway-trace-id"]


def test_a_wrong_type_is_named_by_its_path(client: Anthropic) -> None:
    wrong: Any = [{"role": "user", "content": 7}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content: must be a string or an array"):
        client.messages.create(model="sim", max_tokens=5, messages=wrong)


def test_a_stream_that_is_cut_raises_and_never_stops(client: Anthropic) -> None:
    told: list[Any] = []
    stream = client.messages.create(model="sim/cut", stream=True, **QUESTION)
    with pytest.raises(anthropic.APIStatusError) as caught:
        told.extend(stream)
    assert caught.value.error_code == "upstream_cut"
    assert {"message_start", "content_block_delta"} <= {event.type for event in told}
    assert not {"message_delta", "message_stop"} & {event.type for event in told}


def test_the_sdk_retries_what_may_be_repeated_and_only_that(mesh: Mesh) -> None:
    with Anthropic(base_url=mesh.http, api_key="none", max_retries=1, timeout=20) as client:
        for model, retried in (("sim/status-429:retry-after=0,tokens=6", True), ("sim/status-401", False)):
            seen: list[str] = []
            client._client.event_hooks["response"] = [
                lambda r, seen=seen: seen.append(r.request.headers["x-stainless-retry-count"])
            ]
            with pytest.raises(anthropic.APIStatusError):
                client.messages.create(model=model, **QUESTION)
            assert seen == (["0", "1"] if retried else ["0"])
