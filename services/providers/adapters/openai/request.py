"""ChatRequest to OpenAI's JSON: the way back of what the HTTP edge does with an OpenAI client's request.

Whatever has no field of its own in the messages travels in their `extra_json`, and is laid over what is built here,
object into object, so that an unknown key goes out where it came in. Where another dialect's client wrote it, it means
nothing here, and is refused.
"""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.adapters.openai.content import put_cache_control, put_content
from services.providers.adapters.openai.custom_tools import CUSTOM, chosen, custom_call, custom_tool
from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai.options import put_options, put_sampling, take_neighbours
from services.providers.adapters.openai.peculiar import adapt
from services.providers.adapters.openai.thinking import DIALECT
from services.providers.adapters.openai.tool_calls import call_id
from services.providers.domain.json_objects import Json, json_object, written
from services.providers.domain.quirks import NO_QUIRKS, Quirks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_ROLES = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "developer",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
    chat_pb2.ROLE_TOOL: "tool",
    chat_pb2.ROLE_FUNCTION: "function",
}
_NOTHING = {"role": "assistant", "content": None}
_TOOL_CHOICES = {
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    chat_pb2.TOOL_CHOICE_MODE_NONE: "none",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}


def encode_request(
    chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid, quirks: Quirks = NO_QUIRKS
) -> Encoded:
    """The call that asks `model` this question, of a server with these quirks.

    Raises INVALID_REQUEST naming the field that is missing or is not JSON, and UNSUPPORTED_FEATURE for what chat
    completions cannot say.
    """
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    asked = Asked(unsaid, quirks, DIALECT, chat.dialect in ("", DIALECT))
    body = _own_fields(chat, asked)
    body["model"] = model
    told = [_message(message, asked, f"chat.messages[{i}]") for i, message in enumerate(chat.messages)]
    body["messages"] = [message for message in told if message]
    if chat.HasField("sampling"):
        put_sampling(chat.sampling, body)
    if tools := [_tool(tool, asked, f"chat.tools[{i}]") for i, tool in enumerate(chat.tools)]:
        body["tools"] = [tool for tool in tools if tool]
    if chat.HasField("tool_choice") and (choice := _tool_choice(chat.tool_choice, asked)):
        body["tool_choice"] = choice
    if chat.HasField("response_format") and (wanted := _response_format(chat.response_format, asked)):
        body["response_format"] = wanted
    put_options(chat, body, asked)
    _put_streaming(body, stream)
    adapt(body, asked)
    return Encoded("/chat/completions", written(body))


def _own_fields(chat: chat_pb2.ChatRequest, asked: Asked) -> Json:
    """What the question says under OpenAI's own names."""
    fields = json_object(chat.extra_json, "chat.extra_json")
    if not fields:
        return fields
    asked.without_remarks(fields, "chat")
    if asked.own:
        return fields
    known = take_neighbours(chat.dialect, fields)
    asked.refuse_fields(fields, "chat")
    return known


def _put_streaming(body: Json, stream: bool) -> None:
    options = body.pop("stream_options", None)
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}


def _message(message: chat_pb2.Message, asked: Asked, path: str) -> Json | None:
    """None where all that an answer said is left out: servers refuse a message of nothing."""
    role = _ROLES.get(message.role)
    if role == "developer" and not asked.quirks.developer_role:
        role = "system"
    said: Json = {"role": role} if role else {}
    put_content(message, said, asked, path)
    if message.name:
        said["name"] = message.name
    calls = [_tool_call(call, asked, f"{path}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]
    if told := [call for call in calls if call]:
        said["tool_calls"] = told
    if message.tool_call_id:
        said["tool_call_id"] = call_id(message.tool_call_id, asked.quirks.tool_id_length)
    asked.lay_over(said, message, path)
    if "role" not in said:
        raise invalid(f"{path}.role", "is missing")
    return None if message.content and said == _NOTHING else said


def _tool_call(call: chat_pb2.ToolCall, asked: Asked, path: str) -> Json | None:
    said: Json = {"id": call_id(call.id, asked.quirks.tool_id_length), "type": call.type or "function"}
    if said["type"] == "function":
        said["function"] = {"name": call.name, "arguments": call.arguments}
    elif call.type == CUSTOM and call.name:
        said[CUSTOM] = custom_call(call)
    elif not asked.own:
        asked.refuse_foreign(path)
        return None
    if call.signature:
        if asked.quirks.reasoning_field:
            said["extra_content"] = {"google": {"thought_signature": call.signature}}
        else:
            asked.unsaid.leave_out(f"{path}.signature")
    return asked.lay_over(said, call, path)


def _tool(tool: chat_pb2.ToolDefinition, asked: Asked, path: str) -> Json | None:
    said: Json = {"type": tool.type or "function"}
    if said["type"] == "function":
        function: Json = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters_json:
            function["parameters"] = json_object(tool.parameters_json, f"{path}.parameters_json")
        if tool.HasField("strict"):
            function["strict"] = tool.strict
        said["function"] = function
    elif tool.type == CUSTOM and tool.name:
        said = custom_tool(tool, asked, path)
        put_cache_control(tool, said, asked, path)
        return said
    elif not asked.own:
        asked.refuse_foreign(path)
        return None
    put_cache_control(tool, said, asked, path)
    return asked.lay_over(said, tool, path)


def _tool_choice(choice: chat_pb2.ToolChoice, asked: Asked) -> str | Json | None:
    if choice.extra_json:
        extra = json_object(choice.extra_json, "chat.tool_choice.extra_json")
        if asked.own:
            return extra
        if known := chosen(extra):
            return known
        asked.refuse_foreign("chat.tool_choice")
    if choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    if choice.mode not in _TOOL_CHOICES and not choice.extra_json:
        raise invalid("chat.tool_choice.mode", "is missing")
    return _TOOL_CHOICES.get(choice.mode)


def _response_format(wanted: chat_pb2.ResponseFormat, asked: Asked) -> Json:
    said: Json = {}
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        said = {"type": "text"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        said = {"type": "json_object"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        schema: Json = {"name": wanted.name or "answer"}
        if wanted.description:
            schema["description"] = wanted.description
        if wanted.schema_json:
            schema["schema"] = json_object(wanted.schema_json, "chat.response_format.schema_json")
        if wanted.HasField("strict"):
            schema["strict"] = wanted.strict
        said = {"type": "json_schema", "json_schema": schema}
    asked.lay_over(said, wanted, "chat.response_format")
    if not said and not wanted.extra_json:
        raise invalid("chat.response_format.kind", "is missing")
    return said
