"""In memory and over TCP the sim is one model: whoever reads it decodes the same, and meets the same faults."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.sim.text import count
from tests.unit.services.providers.house import House, Responses, text_of
from tollway.chat.v1 import chat_pb2

TOOL = chat_pb2.ToolDefinition(
    name="weather", parameters_json=b'{"type": "object", "properties": {"city": {"type": "string"}}}'
)
ANSWERS: dict[str, dict[str, Any]] = {
    "sim": {},
    "echo": {"text": "Say “this” 👋 again"},
    "reasoning": {},
    "refusal": {},
    "text:tokens=0": {},
    "text:tokens=3000": {},
    "text:finish=length": {},
    "text:calls=2": {"tools": [TOOL]},
    "text:key=n": {"choice_count": 3},
    "text:key=logprobs": {"sampling": chat_pb2.SamplingOptions(logprobs=True, top_logprobs=2)},
    "no-done": {},
    "no-usage": {},
    "gpt-4o": {},
}
FAULTS: dict[str, Reason] = {
    "status-500": Reason.UPSTREAM_FAILED,
    "status-429:retry-after=2": Reason.UPSTREAM_RATE_LIMITED,
    "status-401": Reason.UPSTREAM_CREDENTIALS,
    "status-403": Reason.UPSTREAM_FORBIDDEN,
    "status-404": Reason.UPSTREAM_REJECTED,
    "status-304": Reason.UPSTREAM_FAILED,
    "statsu-500": Reason.UPSTREAM_MODEL_NOT_FOUND,
    "model-not-found": Reason.UPSTREAM_MODEL_NOT_FOUND,
    "context-length": Reason.CONTEXT_LENGTH_EXCEEDED,
    "content-filter": Reason.CONTENT_FILTERED,
    "error-body": Reason.UPSTREAM_FAILED,
    "error-event": Reason.UPSTREAM_FAILED,
    "malformed": Reason.UPSTREAM_MALFORMED,
    "cut": Reason.UPSTREAM_CUT,
    "cut:after=0": Reason.UPSTREAM_CUT,
    "cut:after=99": Reason.UPSTREAM_CUT,
    "reset": Reason.UPSTREAM_UNREACHABLE,
    "silence": Reason.UPSTREAM_SILENT,
    "silence-after-headers": Reason.UPSTREAM_SILENT,
    "silence-after-role": Reason.UPSTREAM_SILENT,
    "pings": Reason.UPSTREAM_SILENT,
    "stall": Reason.UPSTREAM_SILENT,
}
LIMITS = {
    "silence": {"headers": 0.15},
    "silence-after-headers": {"first_token": 0.15},
    "silence-after-role": {"first_token": 0.15},
    "pings": {"first_token": 0.15},
    "stall": {"gap": 0.15},
}
"""The one limit that has to pass, in seconds; there is no other, so that a busy machine meets no wrong one."""


def merged(responses: Responses) -> chat_pb2.ChatChunk:
    """All chunks in one: protobuf's own merge appends deltas, and lets the last of other fields count.

    Where text was cut is left to chance and the network: what a choice says in a row is one delta here.
    """
    whole = chat_pb2.ChatChunk()
    for response in responses:
        whole.MergeFrom(response.chunk)
    deltas = list(whole.deltas)
    del whole.deltas[:]
    for delta in deltas:
        before = whole.deltas[-1] if whole.deltas else chat_pb2.Delta()
        if all(is_text(each) and each.index == delta.index for each in (before, delta)):
            before.text += delta.text
        else:
            whole.deltas.append(delta)
    return whole


def is_text(delta: chat_pb2.Delta) -> bool:
    """Whether the delta says some text, and nothing else."""
    return delta == chat_pb2.Delta(index=delta.index, text=delta.text) and bool(delta.text)


@pytest.mark.parametrize("model", ANSWERS)
async def test_an_answer_is_the_same_in_memory_and_over_tcp(house: House, model: str) -> None:
    fields = ANSWERS[model]
    streamed = [await house.stream(model, provider, **fields) for provider in ("sim", "remote")]
    assert merged(streamed[0]) == merged(streamed[1])
    assert [each[0].upstream for each in streamed] == [streamed[0][0].upstream] * 2
    whole = [await house.create(model, provider, **fields) for provider in ("sim", "remote")]
    assert whole[0] == whole[1]


@pytest.mark.parametrize("model", ANSWERS)
async def test_an_answer_is_the_same_streamed_and_whole(house: House, model: str) -> None:
    fields = ANSWERS[model]
    chunk = merged(await house.stream(model, **fields))
    whole = (await house.create(model, **fields)).chat
    assert (chunk.id, chunk.model, chunk.HasField("usage"), chunk.usage) == (
        whole.id,
        whole.model,
        whole.HasField("usage"),
        whole.usage,
    )
    for choice in whole.choices:
        deltas = [delta for delta in chunk.deltas if delta.index == choice.index]
        said = choice.message.content
        assert "".join(delta.text for delta in deltas) == "".join(part.text for part in said)
        assert "".join(delta.refusal for delta in deltas) == "".join(part.refusal for part in said)
        assert "".join(delta.reasoning.text for delta in deltas) == "".join(part.reasoning.text for part in said)
        assert deltas[-1].finish_reason == choice.finish_reason
        calls = [call for delta in deltas for call in delta.tool_calls]
        for i, call in enumerate(choice.message.tool_calls):
            assert "".join(piece.arguments for piece in calls if piece.index == i) == call.arguments
            assert [(piece.id, piece.name) for piece in calls if piece.index == i and piece.id] == [
                (call.id, call.name)
            ]


@pytest.mark.parametrize("model", FAULTS)
async def test_a_fault_is_the_same_in_memory_and_over_tcp(house: House, model: str) -> None:
    found: list[tuple[str, TollwayError]] = []
    for provider in ("sim", "remote"):
        responses, error = await house.stream_to_its_end(model, provider, **LIMITS.get(model, {}))
        assert error is not None
        found.append((text_of(responses), error))
    (memory_text, memory_error), (tcp_text, tcp_error) = found
    assert memory_text == tcp_text
    assert memory_error.reason is tcp_error.reason is FAULTS[model]
    assert memory_error.retry_after == tcp_error.retry_after
    assert {**memory_error.metadata, "provider": "remote"} == tcp_error.metadata


@pytest.mark.parametrize("model", FAULTS)
async def test_a_fault_of_a_whole_answer_is_the_same_in_memory_and_over_tcp(house: House, model: str) -> None:
    errors = []
    for provider in ("sim", "remote"):
        with pytest.raises(TollwayError) as caught:
            await house.create(model, provider, **LIMITS.get(model, {}))
        errors.append(caught.value)
    assert errors[0].reason is errors[1].reason is FAULTS[model]
    assert {**errors[0].metadata, "provider": "remote"} == errors[1].metadata


@pytest.mark.parametrize("provider", ["sim", "remote"])
async def test_a_flaky_model_fails_as_often_as_its_name_says_and_then_answers(house: House, provider: str) -> None:
    outcomes = []
    for _ in range(6):
        _, error = await house.stream_to_its_end("flaky:fail=2,key=x", provider)
        outcomes.append(error.reason if error else None)
    assert outcomes == [Reason.UPSTREAM_FAILED, Reason.UPSTREAM_FAILED, None] * 2


@pytest.mark.parametrize("provider", ["sim", "remote"])
async def test_flaky_models_with_other_keys_are_counted_apart(house: House, provider: str) -> None:
    assert (await house.error("flaky:fail=1,key=a", provider)).reason is Reason.UPSTREAM_FAILED
    assert (await house.error("flaky:fail=1,key=b", provider)).reason is Reason.UPSTREAM_FAILED
    assert await house.stream("flaky:fail=1,key=a", provider)


@pytest.mark.parametrize(("model", "tokens"), [("cut:after=0", 0), ("cut:after=3", 3), ("stall:after=3", 3)])
async def test_a_fault_comes_after_as_many_tokens_as_its_name_says(house: House, model: str, tokens: int) -> None:
    responses, _ = await house.stream_to_its_end(model, "remote", gap=0.15)
    assert count(text_of(responses)) == tokens


@pytest.mark.parametrize("provider", ["sim", "remote"])
async def test_any_fault_may_pass_after_as_many_calls_as_its_name_says(house: House, provider: str) -> None:
    model = f"cut:after=3,fail=1,key={provider}"
    assert (await house.error(model, provider)).reason is Reason.UPSTREAM_CUT
    assert await house.stream(model, provider)
    assert (await house.error(model, provider)).reason is Reason.UPSTREAM_CUT
