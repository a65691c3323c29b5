"""ChatRequest to the JSON of `POST /responses`. Nothing is kept there unless the question says so (`store`)."""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai_responses.items import DIALECT, custom_of_chat, input_items
from services.providers.adapters.openai_responses.options import (
    NEIGHBOURS,
    put_options,
    put_reasoning,
    put_sampling,
)
from services.providers.domain.json_objects import Json, json_object, written
from services.providers.domain.quirks import NO_QUIRKS
from services.providers.domain.thinking import thinks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_TOOL_CHOICES = {
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    chat_pb2.TOOL_CHOICE_MODE_NONE: "none",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is not JSON, and UNSUPPORTED_FEATURE for what the
    Responses cannot say.
    """
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    asked = Asked(unsaid, NO_QUIRKS, DIALECT, chat.dialect == DIALECT)
    body = _own_fields(chat, asked)
    body["model"] = model
    body["input"] = input_items(chat.messages, asked)
    body.setdefault("store", False)
    put_sampling(chat.sampling, body, asked)
    if tools := [_tool(tool, asked, f"chat.tools[{i}]") for i, tool in enumerate(chat.tools)]:
        body["tools"] = [tool for tool in tools if tool]
    if chat.HasField("tool_choice") and (choice := _tool_choice(chat.tool_choice, asked)):
        body["tool_choice"] = choice
    if chat.HasField("response_format") and (wanted := _format(chat.response_format, asked)):
        body["text"] = {**(body.get("text") or {}), "format": wanted}
    put_options(chat, body, asked)
    put_reasoning(chat, body, asked, thinks=thinks(model))
    _include(chat, body, thinking=thinks(model))
    if stream:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    return Encoded("/responses", written(body))


def _own_fields(chat: chat_pb2.ChatRequest, asked: Asked) -> Json:
    """What the question says under the Responses' own names; of those of chat completions, what both know."""
    fields = json_object(chat.extra_json, "chat.extra_json")
    if asked.own or not fields:
        fields.pop("stream", None)
        return fields
    known: Json = {}
    if chat.dialect in ("", "openai"):
        known = {name: fields.pop(name) for name in NEIGHBOURS & fields.keys()}
        if (verbosity := fields.pop("verbosity", None)) is not None:
            known["text"] = {"verbosity": verbosity}
        if isinstance(options := fields.get("stream_options"), dict):
            options.pop("include_usage", None)  # it is always told
            known["stream_options"] = fields.pop("stream_options")
    asked.refuse_fields(fields, "chat")
    return {name: value for name, value in known.items() if value not in (None, {})}


def _include(chat: chat_pb2.ChatRequest, body: Json, *, thinking: bool) -> None:
    """What has to be asked for to be told: thinking in the form that can be sent back, and log probabilities."""
    include = list(body.pop("include", None) or ())
    thinking = thinking or any(
        part.reasoning.redacted for message in chat.messages for part in message.content if part.HasField("reasoning")
    )
    if body["store"] is False and (thinking or body.get("reasoning")):
        include.append(_ENCRYPTED)
    if chat.sampling.logprobs or chat.sampling.top_logprobs:
        include.append(_LOGPROBS)
    if include:
        body["include"] = list(dict.fromkeys(include))


def _tool(tool: chat_pb2.ToolDefinition, asked: Asked, path: str) -> Json | None:
    said: Json = {"type": tool.type or "function"}
    if said["type"] == "function":
        said["name"] = tool.name
        if tool.description:
            said["description"] = tool.description
        said["parameters"] = json_object(tool.parameters_json, f"{path}.parameters_json") or {
            "type": "object",
            "properties": {},
        }
        if tool.HasField("strict"):
            said["strict"] = tool.strict
        elif not asked.own:
            said["strict"] = False  # elsewhere that is what saying nothing means; here it would be true
    elif not asked.own:
        if said["type"] == "custom" and (custom := custom_of_chat(tool, path)):
            return said | custom
        asked.refuse_foreign(path)
        return None
    elif tool.name:
        said["name"] = tool.name
        if tool.description:
            said["description"] = tool.description
    if tool.HasField("cache_control"):
        asked.unsaid.leave_out(f"{path}.cache_control")
    return asked.lay_over(said, tool, path)


def _tool_choice(choice: chat_pb2.ToolChoice, asked: Asked) -> str | Json | None:
    if choice.extra_json:
        extra = json_object(choice.extra_json, "chat.tool_choice.extra_json")
        if asked.own:
            return extra
        asked.refuse_foreign("chat.tool_choice")
    if choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED:
        return {"type": "function", "name": choice.name}
    if choice.mode not in _TOOL_CHOICES and not choice.extra_json:
        raise invalid("chat.tool_choice.mode", "is missing")
    return _TOOL_CHOICES.get(choice.mode)


def _format(wanted: chat_pb2.ResponseFormat, asked: Asked) -> Json:
    said: Json = {}
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        said = {"type": "text"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        said = {"type": "json_object"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        said = {"type": "json_schema", "name": wanted.name or "answer"}
        if wanted.description:
            said["description"] = wanted.description
        said["schema"] = json_object(wanted.schema_json, "chat.response_format.schema_json")
        if wanted.HasField("strict"):
            said["strict"] = wanted.strict
    asked.lay_over(said, wanted, "chat.response_format")
    if not said and not wanted.extra_json:
        raise invalid("chat.response_format.kind", "is missing")
    return said
