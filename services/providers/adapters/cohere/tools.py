"""Tools, which of them to call, and calls that were made, in Cohere's JSON."""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.domain.json_objects import Json, json_object
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_CHOICES = {
    chat_pb2.TOOL_CHOICE_MODE_NONE: "NONE",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "REQUIRED",
    chat_pb2.TOOL_CHOICE_MODE_NAMED: "REQUIRED",
}


def put_tools(chat: chat_pb2.ChatRequest, body: Json, words: OwnWords, unsaid: Unsaid) -> None:
    """The tools and the choice among them.

    Cohere can be told that a tool must be called, but not which: to name one is to offer no other.
    """
    choice = chat.tool_choice
    named = choice.name if choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED else ""
    tools: list[Json] = []
    strict: list[str] = []
    for i, tool in enumerate(chat.tools):
        path = f"chat.tools[{i}]"
        if named in ("", tool.name) and (said := _tool(tool, path, words, unsaid)):
            tools.append(said)
            strict += [path] if tool.strict else []
    if tools:
        body["tools"] = tools
        # Cohere holds the arguments of all tools to their schemas, or of none.
        if len(strict) == len(tools):
            body["strict_tools"] = True
        elif strict:
            unsaid.refuse(f"{strict[0]}.strict", "cannot be told to Cohere of some tools and not of all")
    if chat.HasField("tool_choice"):
        _choice(choice, body, words, unsaid)
    if chat.HasField("parallel_tool_calls") and not chat.parallel_tool_calls and tools:
        unsaid.refuse("chat.parallel_tool_calls", "cannot be forbidden in Cohere's API")


def _tool(tool: chat_pb2.ToolDefinition, path: str, words: OwnWords, unsaid: Unsaid) -> Json:
    if tool.HasField("cache_control"):
        unsaid.leave_out(f"{path}.cache_control")
    if tool.type not in ("", "function"):
        unsaid.refuse(f"{path}.type", f"{tool.type} is a kind of tool that Cohere's API does not have")
        return {}
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    schema = json_object(tool.parameters_json, f"{path}.parameters_json")
    function["parameters"] = schema or {"type": "object", "properties": {}}
    return words.lay_over({"type": "function", "function": function}, tool.extra_json, path)


def _choice(choice: chat_pb2.ToolChoice, body: Json, words: OwnWords, unsaid: Unsaid) -> None:
    if choice.extra_json:
        words.lay_over({}, b"" if words.sayable else choice.extra_json, "chat.tool_choice")
        if words.sayable:
            unsaid.refuse("chat.tool_choice", "is one of REQUIRED and NONE in Cohere's API")
    elif choice.mode in _CHOICES:
        if "tools" in body:
            body["tool_choice"] = _CHOICES[choice.mode]
        elif choice.mode != chat_pb2.TOOL_CHOICE_MODE_NONE:
            raise invalid("chat.tool_choice", "asks for a tool that is not among the tools")
    elif choice.mode != chat_pb2.TOOL_CHOICE_MODE_AUTO:
        raise invalid("chat.tool_choice.mode", "is missing")


def tool_call(call: chat_pb2.ToolCall, path: str, words: OwnWords, unsaid: Unsaid) -> Json:
    """A call that was made. Nothing where it is of a kind that cannot be said."""
    if call.type not in ("", "function"):
        unsaid.refuse(f"{path}.type", f"{call.type} is a kind of tool call that Cohere's API does not have")
        return {}
    if call.signature:
        unsaid.leave_out(f"{path}.signature")
    said: Json = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    return words.lay_over(said, call.extra_json, path)
