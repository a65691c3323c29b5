from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http.anthropic.tools import TOOLS
from gateway_http.field_reading import Wrong, read_fields
from tollway.chat.v1 import chat_pb2 as pb

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def asked(**fields: Any) -> pb.ChatRequest:
    chat = pb.ChatRequest()
    assert read_fields(TOOLS, chat, fields) is None
    return chat


def refused(**fields: Any) -> tuple[str, str]:
    with pytest.raises(Wrong) as raised:
        asked(**fields)
    error = raised.value.as_error()
    return error.violations[0].field, error.violations[0].description


@pytest.mark.parametrize("kind", [{}, {"type": "custom"}, {"type": None}])
def test_a_tool_has_its_schema_as_json(kind: dict[str, Any]) -> None:
    given = {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True, "input_examples": [{}], **kind}

    (tool,) = asked(tools=[{**given, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]).tools

    assert (tool.type, tool.name, tool.description, tool.strict) == ("function", "f", "d", True)
    assert json.loads(tool.parameters_json) == SCHEMA
    assert tool.cache_control.lifetime == "1h"
    assert json.loads(tool.extra_json) == {"input_examples": [{}]}


def test_a_tool_of_anthropics_own_keeps_its_type_and_what_describes_it() -> None:
    search = {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 3,
        "cache_control": {"type": "ephemeral"},
    }

    (tool,) = asked(tools=[search]).tools

    assert (tool.type, tool.name, tool.HasField("cache_control")) == ("web_search_20250305", "web_search", True)
    assert json.loads(tool.extra_json) == {"max_uses": 3}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("auto", pb.TOOL_CHOICE_MODE_AUTO),
        ("any", pb.TOOL_CHOICE_MODE_REQUIRED),
        ("none", pb.TOOL_CHOICE_MODE_NONE),
    ],
)
def test_whether_tools_are_called_has_a_mode(kind: str, mode: pb.ToolChoiceMode.ValueType) -> None:
    chat = asked(tool_choice={"type": kind})

    assert chat.tool_choice == pb.ToolChoice(mode=mode)
    assert not chat.HasField("parallel_tool_calls")


@pytest.mark.parametrize("disabled", [True, False])
def test_a_named_tool_and_whether_it_is_the_only_one(disabled: bool) -> None:
    chat = asked(tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": disabled})

    assert chat.tool_choice == pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NAMED, name="f")
    assert chat.parallel_tool_calls is not disabled


def test_a_choice_that_a_mode_cannot_say_is_carried_whole() -> None:
    given = {"type": "auto", "new": 1}

    assert json.loads(asked(tool_choice=given).tool_choice.extra_json) == given


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"tools": {}}, "tools", "must be an array, not an object"),
        ({"tools": ["f"]}, "tools[0]", "must be an object, not a string"),
        ({"tools": [{"input_schema": SCHEMA}]}, "tools[0].name", "must be given"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "must be given"),
        ({"tools": [{"name": "f", "input_schema": "{}"}]}, "tools[0].input_schema", "must be an object, not a string"),
        ({"tools": [{"type": 5}]}, "tools[0].type", "must be a string, not a number"),
        ({"tools": [{"name": "f", "input_schema": SCHEMA, "strict": 1}]}, "tools[0].strict",
         "must be a boolean, not a number"),
        ({"tool_choice": "auto"}, "tool_choice", "must be an object, not a string"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type", "must be one of auto, any, none, tool"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "must be given"),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use",
         "must be a boolean, not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(fields: dict[str, Any], field: str, problem: str) -> None:
    assert refused(**fields) == (field, problem)
