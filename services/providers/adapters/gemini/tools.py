"""Tools, and whether they are to be called, as Gemini's `tools` and `toolConfig`."""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.adapters.gemini.telling import Telling
from services.providers.domain.json_objects import Json, json_object, merge
from tollway.chat.v1 import chat_pb2

_MODES = {
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "AUTO",
    chat_pb2.TOOL_CHOICE_MODE_NONE: "NONE",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "ANY",
    chat_pb2.TOOL_CHOICE_MODE_NAMED: "ANY",
}
_NO_KIND = "names a kind of tool that has no place in Gemini's API"


def put_tools(chat: chat_pb2.ChatRequest, body: Json, telling: Telling) -> None:
    """Puts the tools, and the choice among them, into the body."""
    functions: list[Json] = []
    tools: list[Json] = []
    for i, tool in enumerate(chat.tools):
        path = f"chat.tools[{i}]"
        if tool.HasField("cache_control"):
            telling.unsaid.leave_out(f"{path}.cache_control")
        if tool.type in ("", "function"):
            functions.append(_function(tool, path, telling))
        elif telling.own:
            tools.append(json_object(tool.extra_json, f"{path}.extra_json"))
        else:
            telling.unsaid.refuse(f"{path}.type", _NO_KIND)
    if functions:
        tools.insert(0, {"functionDeclarations": functions})
    if tools:
        body["tools"] = tools
    if config := _config(chat, telling):
        body["toolConfig"] = config
    if chat.HasField("parallel_tool_calls") and not chat.parallel_tool_calls and functions:
        telling.unsaid.refuse("chat.parallel_tool_calls", "cannot be turned off in Gemini's API")


def _function(tool: chat_pb2.ToolDefinition, path: str, telling: Telling) -> Json:
    said: Json = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    if tool.parameters_json:
        said["parametersJsonSchema"] = json_object(tool.parameters_json, f"{path}.parameters_json")
    return telling.lay_over(said, tool, path)


def _config(chat: chat_pb2.ChatRequest, telling: Telling) -> Json:
    config: Json = {}
    if mode := _mode(chat, telling):
        config["functionCallingConfig"] = {"mode": mode}
        if chat.tool_choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED:
            config["functionCallingConfig"]["allowedFunctionNames"] = [chat.tool_choice.name]
    if chat.tool_choice.extra_json and telling.own:
        merge(config, json_object(chat.tool_choice.extra_json, "chat.tool_choice.extra_json"))
    return config


def _mode(chat: chat_pb2.ChatRequest, telling: Telling) -> str | None:
    """Where arguments must match their schema, the model may still choose: that is a mode of its own.

    ANY sees to it anyway.
    """
    choice = chat.tool_choice
    if choice.extra_json and not telling.own:
        telling.unsaid.refuse("chat.tool_choice", "is of a kind that has no place in Gemini's API")
    elif chat.HasField("tool_choice") and not choice.extra_json and choice.mode not in _MODES:
        raise invalid("chat.tool_choice.mode", "is missing")
    mode = _MODES.get(choice.mode)
    if mode in (None, "AUTO") and any(tool.strict for tool in chat.tools):
        return "VALIDATED"
    return mode
