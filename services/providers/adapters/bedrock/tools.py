"""Tools, which of them to call, and calls that were made, in Converse's JSON."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

from mesh.errors import invalid
from services.providers.domain.json_objects import Json, json_object
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_LIFETIMES = ("5m", "1h")
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def tool_config(chat: chat_pb2.ChatRequest, messages: list[Json], words: OwnWords, unsaid: Unsaid) -> Json:
    """The tools and the choice among them. Nothing where there are none, or none may be called."""
    if chat.HasField("parallel_tool_calls") and not chat.parallel_tool_calls and chat.tools:
        unsaid.refuse("chat.parallel_tool_calls", "cannot be forbidden in Converse")
    mode = chat.tool_choice.mode
    if mode == chat_pb2.TOOL_CHOICE_MODE_NONE and chat.tools:
        # Converse has no word for it. Tools that are not named are not called, but calls that were made need theirs.
        if not any("toolUse" in block or "toolResult" in block for said in messages for block in said["content"]):
            return {}
        unsaid.refuse("chat.tool_choice", "cannot be none in Converse once tools were called")
    tools: list[Json] = []
    for i, tool in enumerate(chat.tools):
        path = f"chat.tools[{i}]"
        if said := _tool(tool, path, words, unsaid):
            tools.append(said)
        if tool.HasField("cache_control"):
            tools.append(cache_point(tool.cache_control, path, unsaid))
    choice = _choice(chat.tool_choice, words) if chat.HasField("tool_choice") else {}
    if not tools:
        if choice:
            unsaid.leave_out("chat.tool_choice")  # among nothing
        return {}
    return {"tools": tools, "toolChoice": choice} if choice else {"tools": tools}


def _tool(tool: chat_pb2.ToolDefinition, path: str, words: OwnWords, unsaid: Unsaid) -> Json:
    if tool.type not in ("", "function"):
        if not (words.sayable and tool.extra_json):
            unsaid.refuse(f"{path}.type", f"{tool.type} is a kind of tool that Converse does not have")
            return {}
        return words.lay_over({}, tool.extra_json, path)
    spec: Json = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    schema = json_object(tool.parameters_json, f"{path}.parameters_json")
    spec["inputSchema"] = {"json": schema or {"type": "object", "properties": {}}}
    if tool.HasField("strict"):
        spec["strict"] = tool.strict
    return words.lay_over({"toolSpec": spec}, tool.extra_json, path)


def _choice(choice: chat_pb2.ToolChoice, words: OwnWords) -> Json:
    if choice.extra_json:
        return words.lay_over({}, choice.extra_json, "chat.tool_choice")
    said: dict[int, dict[str, Any]] = {
        chat_pb2.TOOL_CHOICE_MODE_AUTO: {"auto": {}},
        chat_pb2.TOOL_CHOICE_MODE_NONE: {},  # what became of it has been seen to
        chat_pb2.TOOL_CHOICE_MODE_REQUIRED: {"any": {}},
        chat_pb2.TOOL_CHOICE_MODE_NAMED: {"tool": {"name": choice.name}},
    }
    if choice.mode not in said:
        raise invalid("chat.tool_choice.mode", "is missing")
    return said[choice.mode]


def tool_use(call: chat_pb2.ToolCall, path: str, words: OwnWords, unsaid: Unsaid) -> Json:
    """A call that was made. Nothing where it is of a kind that cannot be said."""
    if call.type not in ("", "function"):
        unsaid.refuse(f"{path}.type", f"{call.type} is a kind of tool call that Converse does not have")
        return {}
    if call.signature:
        unsaid.leave_out(f"{path}.signature")
    arguments = json_object(call.arguments, f"{path}.arguments")
    block: Json = {"toolUse": {"toolUseId": call_id(call.id), "name": call.name, "input": arguments}}
    return words.lay_over(block, call.extra_json, path)


def call_id(given: str) -> str:
    """The id of a call, as Bedrock takes it: others have longer ones, and of other characters."""
    return given if _ID.fullmatch(given) else f"call_{sha256(given.encode()).hexdigest()[:32]}"


def cache_point(wanted: chat_pb2.CacheControl, path: str, unsaid: Unsaid) -> Json:
    """The block that ends a prefix worth keeping."""
    point: Json = {"type": "default"}
    if wanted.lifetime in _LIFETIMES:
        point["ttl"] = wanted.lifetime
    elif wanted.lifetime:
        unsaid.leave_out(f"{path}.cache_control.lifetime")
    return {"cachePoint": point}
