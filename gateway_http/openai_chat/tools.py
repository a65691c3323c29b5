"""Tools and the shape of the answer in OpenAI's chat completion request, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from typing import Any

from gateway_http.field_reading import (
    Reader,
    Readers,
    Wrong,
    a,
    encode_json,
    here,
    into,
    json_into,
    json_of,
    read_fields,
    skip,
)
from gateway_http.openai_chat.message import read_cache_control
from tollway.chat.v1 import chat_pb2 as pb


def read_tool(chat: pb.ChatRequest, value: Any) -> None:
    tool = chat.tools.add(type="function")
    tool.extra_json = json_of(read_fields(_TOOL, tool, a(dict, value)))
    if tool.type == "function" and not tool.name:
        raise Wrong("must be given", "function", "name")


_CHOICE_MODES = {
    "auto": pb.TOOL_CHOICE_MODE_AUTO,
    "none": pb.TOOL_CHOICE_MODE_NONE,
    "required": pb.TOOL_CHOICE_MODE_REQUIRED,
}


def tool_choice(named: Readers, *path: str) -> Reader:
    """A reader of which tools may be called: a mode, or an object. `named` reads one that names a function; its name is
    at that path."""

    def read(choice: pb.ToolChoice, value: Any) -> None:
        if isinstance(value, str) and value in _CHOICE_MODES:
            choice.mode = _CHOICE_MODES[value]
            return
        if not isinstance(value, dict):
            raise Wrong(f"must be one of {', '.join(_CHOICE_MODES)}, or an object")
        left: dict[str, Any] | None = value
        if value.get("type") == "function":
            left = read_fields(named, choice, value)
            if not choice.name:
                raise Wrong("must be given", *path)
            choice.mode = pb.TOOL_CHOICE_MODE_NAMED
        if left:  # `mode` does not say all of it, so it travels whole
            choice.extra_json = encode_json(value)

    return read


read_tool_choice = tool_choice({"type": skip, "function": here({"name": into("name", str)})}, "function", "name")

FORMATS = {
    "text": pb.RESPONSE_FORMAT_KIND_TEXT,
    "json_object": pb.RESPONSE_FORMAT_KIND_JSON_OBJECT,
    "json_schema": pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA,
}


def read_response_format(answer: pb.ResponseFormat, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of format", "type")
    if kind not in FORMATS:
        answer.extra_json = encode_json(value)
        return
    if kind == "json_schema" and value.get("json_schema") is None:
        raise Wrong("must be given", "json_schema")
    answer.kind = FORMATS[kind]
    answer.extra_json = json_of(read_fields(_FORMAT, answer, value))


_TOOL: Readers = {
    "type": into("type", str),
    "cache_control": read_cache_control,
    "function": here(
        {
            "name": into("name", str),
            "description": into("description", str),
            "parameters": json_into("parameters_json"),
            "strict": into("strict", bool),
        }
    ),
}

SCHEMA: Readers = {
    "name": into("name", str),
    "description": into("description", str),
    "schema": json_into("schema_json"),
    "strict": into("strict", bool),
}
_FORMAT: Readers = {"type": skip, "json_schema": here(SCHEMA)}
