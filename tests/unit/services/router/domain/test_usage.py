from __future__ import annotations

import pytest

from services.router.domain.usage import count, delta_size, prompt_size, tokens
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import (
    ContentPart,
    Delta,
    Message,
    ReasoningPart,
    Role,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    Usage,
)
from tollway.ledger.v1.ledger_pb2 import AttemptStatus, Provenance

OK, FAILED = AttemptStatus.ATTEMPT_STATUS_OK, AttemptStatus.ATTEMPT_STATUS_FAILED
INTERRUPTED, CANCELLED = AttemptStatus.ATTEMPT_STATUS_INTERRUPTED, AttemptStatus.ATTEMPT_STATUS_CANCELLED
QUESTION = chat(words="x" * 41)


@pytest.mark.parametrize("status", [OK, FAILED, INTERRUPTED, CANCELLED])
def test_what_the_provider_counted_counts_even_where_it_is_zero(status: AttemptStatus.ValueType) -> None:
    counted = count(status, Usage(), QUESTION, 100, streamed=True)
    assert (counted.usage, counted.provenance) == (Usage(), Provenance.PROVENANCE_PROVIDER_REPORTED)


@pytest.mark.parametrize("status", [FAILED, CANCELLED, INTERRUPTED])
def test_an_attempt_without_content_is_not_charged_for_its_prompt(status: AttemptStatus.ValueType) -> None:
    counted = count(status, None, QUESTION, 0, streamed=True)
    assert (counted.usage, counted.provenance) == (None, Provenance.PROVENANCE_UNSETTLED)


@pytest.mark.parametrize("status", [OK, INTERRUPTED, CANCELLED])
def test_a_stream_without_usage_is_counted_at_four_characters_a_token(status: AttemptStatus.ValueType) -> None:
    counted = count(status, None, QUESTION, 9, streamed=True)
    assert counted.usage == Usage(input_tokens=11, output_tokens=3)
    assert counted.provenance == Provenance.PROVENANCE_STREAM_COUNTED


def test_a_whole_answer_without_usage_is_estimated() -> None:
    counted = count(OK, None, QUESTION, 8, streamed=False)
    assert counted.usage == Usage(input_tokens=11, output_tokens=2)
    assert counted.provenance == Provenance.PROVENANCE_ESTIMATED


def test_an_empty_answer_costs_its_prompt() -> None:
    counted = count(OK, None, QUESTION, 0, streamed=True)
    assert counted.usage == Usage(input_tokens=11, output_tokens=0)


@pytest.mark.parametrize(("characters", "expected"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_tokens_are_rounded_up(characters: int, expected: int) -> None:
    assert tokens(characters) == expected


def test_a_prompt_is_all_that_is_said_and_all_tools() -> None:
    request = chat(words="1234")
    request.messages.append(
        Message(
            content=[ContentPart(refusal="12"), ContentPart(reasoning=ReasoningPart(text="123"))],
            tool_calls=[ToolCall(name="f", arguments="{}")],
        )
    )
    request.tools.append(ToolDefinition(name="f", description="does", parameters_json=b"{}"))
    assert prompt_size(request) == 4 + 2 + 3 + 3 + 7


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        (Delta(text="abc"), 3),
        (Delta(refusal="no"), 2),
        (Delta(reasoning=ReasoningPart(text="hm", redacted=b"xyz")), 5),
        (Delta(tool_calls=[ToolCallDelta(name="f", arguments="{}")]), 3),
        (Delta(role=Role.ROLE_ASSISTANT), 0),
    ],
)
def test_a_delta_is_as_large_as_its_content(delta: Delta, size: int) -> None:
    assert delta_size(delta) == size
