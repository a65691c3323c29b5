"""Tools of the client's own, whose input is plain text. Chat completions have what is said of each in an object of its
own, `{"type": "custom", "custom": {"name"}}`, where the Responses have it flat, `{"type": "custom", "name"}`."""

from __future__ import annotations

from services.providers.adapters.openai.extra import Asked
from services.providers.domain.json_objects import Json, json_object
from tollway.chat.v1 import chat_pb2

CUSTOM = "custom"


def custom_tool(tool: chat_pb2.ToolDefinition, asked: Asked, path: str) -> Json:
    """The definition of a tool that has a name: without one, only the extra fields describe it."""
    custom: Json = {"name": tool.name}
    if tool.description:
        custom["description"] = tool.description
    said: Json = {"type": CUSTOM, CUSTOM: custom}
    if asked.own:
        return asked.lay_over(said, tool, path)
    extra = json_object(tool.extra_json, f"{path}.extra_json")
    match extra.pop("format", None):
        case {"type": "grammar", **grammar}:
            custom["format"] = {"type": "grammar", "grammar": grammar}
        case dict() as plain:
            custom["format"] = plain
    asked.refuse_fields(extra, path)
    return said


def custom_call(call: chat_pb2.ToolCall) -> Json:
    return {"name": call.name, "input": call.arguments}


def chosen(choice: Json) -> Json | None:
    """A choice among tools as the Responses say it, where chat completions can say it, too."""
    match choice:
        case {"type": "custom", "name": str() as name, **rest} if not rest:
            return {"type": CUSTOM, CUSTOM: {"name": name}}
        case {"type": "allowed_tools", "mode": str() as mode, "tools": list() as tools, **rest} if not rest:
            named = [_named(tool) for tool in tools]
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}} if all(named) else None
    return None


def _named(tool: object) -> Json | None:
    match tool:
        case {"type": "function" | "custom" as kind, "name": str() as name, **rest} if not rest:
            return {"type": kind, kind: {"name": name}}
    return None
