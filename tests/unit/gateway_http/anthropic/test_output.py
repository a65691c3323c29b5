from __future__ import annotations

from typing import Any

import pytest

from gateway_http.anthropic.output import OUTPUT
from gateway_http.field_reading import Wrong, read_fields
from tollway.chat.v1 import chat_pb2 as pb

FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


def asked(**fields: Any) -> tuple[pb.ChatRequest, Any]:
    """What is asked for, and what has no place."""
    chat = pb.ChatRequest()
    return chat, read_fields(OUTPUT, chat, fields)


def refused(**fields: Any) -> tuple[str, str]:
    with pytest.raises(Wrong) as raised:
        asked(**fields)
    error = raised.value.as_error()
    return error.violations[0].field, error.violations[0].description


@pytest.mark.parametrize(("display", "summary"), [("summarized", "auto"), ("omitted", "none")])
def test_thinking_has_a_budget_and_a_way_to_be_shown(display: str, summary: str) -> None:
    chat, left = asked(thinking={"type": "enabled", "budget_tokens": 2048, "display": display})

    assert (chat.reasoning_budget_tokens, chat.reasoning_summary, left) == (2048, summary, None)


def test_no_thinking_is_a_budget_of_nothing() -> None:
    chat, left = asked(thinking={"type": "disabled"})

    assert (chat.HasField("reasoning_budget_tokens"), chat.reasoning_budget_tokens, left) == (True, 0, None)


def test_thinking_that_adapts_is_kept_in_anthropics_words() -> None:
    chat, left = asked(thinking={"type": "adaptive", "display": "omitted"})

    assert not chat.HasField("reasoning_budget_tokens")
    assert (chat.reasoning_summary, left) == ("none", {"thinking": {"type": "adaptive"}})


def test_a_way_of_showing_that_is_new_is_kept() -> None:
    _, left = asked(thinking={"type": "enabled", "budget_tokens": 1024, "display": "sung"})

    assert left == {"thinking": {"display": "sung"}}


@pytest.mark.parametrize("fields", [{"output_config": {"format": FORMAT}}, {"output_format": FORMAT}])
def test_the_shape_of_the_answer_is_a_schema(fields: dict[str, Any]) -> None:
    chat, left = asked(**fields)

    assert chat.response_format == pb.ResponseFormat(
        kind=pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=b'{"type":"object"}'
    )
    assert left is None


def test_another_shape_is_carried_whole() -> None:
    chat, _ = asked(output_config={"format": {"type": "grammar", "grammar": "root"}})

    assert chat.response_format.extra_json == b'{"type":"grammar","grammar":"root"}'


def test_effort_has_a_place_and_what_is_new_beside_it_is_kept() -> None:
    chat, left = asked(output_config={"effort": "max", "task_budget": {"total": 5}})

    assert (chat.reasoning_effort, left) == ("max", {"output_config": {"task_budget": {"total": 5}}})


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"thinking": True}, "thinking", "must be an object, not a boolean"),
        ({"thinking": {}}, "thinking.type", "must be given"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "must be given"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "must be at least 1"),
        ({"thinking": {"type": "enabled", "budget_tokens": "1k"}}, "thinking.budget_tokens",
         "must be a whole number, not a string"),
        ({"thinking": {"type": "adaptive", "display": 5}}, "thinking.display", "must be a string, not a number"),
        ({"output_config": []}, "output_config", "must be an object, not an array"),
        ({"output_config": {"effort": 5}}, "output_config.effort", "must be a string, not a number"),
        ({"output_config": {"format": {}}}, "output_config.format.type", "must be given: the kind of format"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema", "must be given"),
        ({"output_format": {"type": "json_schema", "schema": []}}, "output_format.schema",
         "must be an object, not an array"),
        ({"output_config": {"format": FORMAT}, "output_format": FORMAT}, "output_format",
         "must not stand beside another format of the answer"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(fields: dict[str, Any], field: str, problem: str) -> None:
    assert refused(**fields) == (field, problem)
