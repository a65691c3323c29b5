"""Tools, the choice among them, and what came of calling them, in Anthropic's JSON."""

from __future__ import annotations

import re
from typing import Any

from mesh.errors import invalid
from services.providers.adapters.anthropic.content import blocks_of, cache_mark, plain_if_can_be
from services.providers.adapters.anthropic.extra import Telling, lay_over, own_names
from services.providers.domain.json_objects import Json, as_it_stands, json_object
from tollway.chat.v1 import chat_pb2

_FUNCTION = ("", "function")
_CHOICES = {
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    chat_pb2.TOOL_CHOICE_MODE_NONE: "none",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "any",
    chat_pb2.TOOL_CHOICE_MODE_NAMED: "tool",
}
_FORCED = (chat_pb2.TOOL_CHOICE_MODE_REQUIRED, chat_pb2.TOOL_CHOICE_MODE_NAMED)
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def tools_told(chat: chat_pb2.ChatRequest, telling: Telling) -> list[Json]:
    """The definitions that can be told."""
    told = (_tool(tool, f"chat.tools[{i}]", telling) for i, tool in enumerate(chat.tools))
    return [tool for tool in told if tool]


def _tool(tool: chat_pb2.ToolDefinition, path: str, telling: Telling) -> Json | None:
    function = tool.type in _FUNCTION or (telling.own and tool.type == "custom")
    if function:
        said = _function(tool, path)
    elif telling.own:
        said = {"type": tool.type, "name": tool.name} if tool.name else {"type": tool.type}
    else:
        telling.unsaid.refuse(path, f"is a tool of the kind {tool.type}, which has no place in Anthropic's API")
        return None
    if tool.HasField("cache_control"):
        said["cache_control"] = cache_mark(tool.cache_control)
    return lay_over(said, tool.extra_json, path, telling)


def _function(tool: chat_pb2.ToolDefinition, path: str) -> Json:
    said: Json = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    # A tool without arguments needs a schema all the same, and a schema has to say that it is an object's.
    said["input_schema"] = {"type": "object", **json_object(tool.parameters_json, f"{path}.parameters_json")}
    if tool.HasField("strict"):
        said["strict"] = tool.strict
    return said


def choice_told(chat: chat_pb2.ChatRequest, telling: Telling, tools: bool) -> Json | None:
    """Whether and which tool to call, and whether several at once. Without tools there is nothing to choose."""
    choice = chat.tool_choice
    if not tools and choice.mode not in _FORCED:
        return None
    said: Json = {"type": _CHOICES[choice.mode]} if choice.mode in _CHOICES else {}
    if choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED:
        said["name"] = choice.name
    if choice.extra_json:
        said |= _beyond_mode(choice.extra_json, telling)
    if chat.HasField("parallel_tool_calls") and said.get("type") != "none":
        said.setdefault("type", "auto")
        said["disable_parallel_tool_use"] = not chat.parallel_tool_calls
    return said or None


def _beyond_mode(extra_json: bytes, telling: Telling) -> Json:
    if telling.own:
        return own_names(extra_json, "chat.tool_choice", telling)
    telling.unsaid.refuse("chat.tool_choice", "is of a kind that has no place in Anthropic's API")
    return {}


def call_told(call: chat_pb2.ToolCall, path: str, telling: Telling) -> Json | None:
    """A call that the assistant made; None where it is left out."""
    if call.type not in _FUNCTION and not telling.own:
        telling.unsaid.refuse(path, f"is a call of the kind {call.type}, which has no place in Anthropic's API")
        return None
    if call.signature:  # it proves another maker's thinking
        telling.unsaid.leave_out(f"{path}.signature")
    kind = "tool_use" if call.type in _FUNCTION else call.type
    said: Json = {"type": kind, "id": tool_id(call.id), "name": call.name, "input": _input(call.arguments, path)}
    return lay_over(said, call.extra_json, path, telling)


def _input(arguments: str, path: str) -> Any:
    """The arguments as they were written, digit by digit, once it is sure that they are an object."""
    json_object(arguments.encode(), f"{path}.arguments")
    return as_it_stands(arguments or "{}")


def result_told(message: chat_pb2.Message, path: str, telling: Telling) -> Json:
    """What came of a call. The tool's name is in the call, and not said again."""
    if not message.tool_call_id:
        raise invalid(f"{path}.tool_call_id", "is missing")
    said: Json = {"type": "tool_result", "tool_use_id": tool_id(message.tool_call_id)}
    if blocks := blocks_of(message, path, telling):
        said["content"] = plain_if_can_be(blocks)
    if message.tool_failed:
        said["is_error"] = True
    return lay_over(said, message.extra_json, path, telling)


def tool_id(given: str) -> str:
    """The id of a call in the letters that Anthropic takes; some who made calls earlier use others."""
    return _NOT_IN_IDS.sub("_", given)
