"""The tools of Anthropic's request and the choice among them, from JSON to `tollway.chat.v1`.

A tool of Anthropic's own (web search, code execution, …) keeps its type, and what describes it is kept beside.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.anthropic.content import cache_control
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    encode_json,
    into,
    json_into,
    json_of,
    read_each,
    read_fields,
    skip,
    under,
)
from gateway_http.json_input import name_of
from tollway.chat.v1 import chat_pb2 as pb


def _tool(chat: pb.ChatRequest, value: Any) -> None:
    tool = chat.tools.add(type="function")
    kind = a(dict, value).get("type")
    if kind not in (None, "custom"):  # a tool of Anthropic's own
        if not isinstance(kind, str):
            raise Wrong(f"must be a string, not {name_of(kind)}", "type")
        tool.type = kind
        tool.extra_json = json_of(read_fields(_SERVER_TOOL, tool, value))
        return
    tool.extra_json = json_of(read_fields(_TOOL, tool, value))
    for name in ("name", "input_schema"):
        if value.get(name) is None:
            raise Wrong("must be given", name)


_CHOICE_MODES = {
    "auto": pb.TOOL_CHOICE_MODE_AUTO,
    "any": pb.TOOL_CHOICE_MODE_REQUIRED,
    "none": pb.TOOL_CHOICE_MODE_NONE,
    "tool": pb.TOOL_CHOICE_MODE_NAMED,
}


def _tool_choice(chat: pb.ChatRequest, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str) or kind not in _CHOICE_MODES:
        raise Wrong(f"must be one of {', '.join(_CHOICE_MODES)}", "type")
    if read_fields(_CHOICE, chat, value):  # `mode` does not say all of it, so it travels whole
        chat.tool_choice.extra_json = encode_json(value)
    chat.tool_choice.mode = _CHOICE_MODES[kind]
    if kind == "tool" and not chat.tool_choice.name:
        raise Wrong("must be given", "name")


def _one_tool_at_a_time(chat: pb.ChatRequest, value: Any) -> None:
    chat.parallel_tool_calls = not a(bool, value)


_TOOL: Readers = {
    "type": skip,
    "name": into("name", str),
    "description": into("description", str),
    "input_schema": json_into("parameters_json"),
    "strict": into("strict", bool),
    "cache_control": cache_control,
}
_SERVER_TOOL: Readers = {"type": skip, "name": into("name", str), "cache_control": cache_control}

_CHOICE: Readers = {
    "type": skip,
    "name": under("tool_choice", into("name", str)),
    "disable_parallel_tool_use": _one_tool_at_a_time,
}

TOOLS: Readers = {
    "tools": lambda chat, value: read_each(partial(_tool, chat), value),
    "tool_choice": _tool_choice,
}
