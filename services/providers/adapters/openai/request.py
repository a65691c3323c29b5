"""ChatRequest to OpenAI's JSON: the way back of what the HTTP edge does with an OpenAI client's request.

Whatever has no field of its own in the messages travels in their `extra_json`, and is laid over what is built here,
object into object, so that an unknown key goes out where it came in.
"""

from __future__ import annotations

import orjson

from mesh.errors import invalid
from services.providers.adapters.openai.content import put_content
from services.providers.adapters.openai.extra import Json, json_object, lay_over
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
_TOOL_CHOICES = {
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    chat_pb2.TOOL_CHOICE_MODE_NONE: "none",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_output_tokens": "max_completion_tokens",
    "max_tokens": "max_tokens",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is not JSON, and UNSUPPORTED_FEATURE for what chat
    completions cannot say.
    """
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    body = json_object(chat.extra_json, "chat.extra_json")
    body["model"] = model
    body["messages"] = [_message(message, f"chat.messages[{i}]") for i, message in enumerate(chat.messages)]
    if chat.HasField("sampling"):
        _sampling(chat.sampling, body)
    if chat.tools:
        body["tools"] = [_tool(tool, f"chat.tools[{i}]") for i, tool in enumerate(chat.tools)]
    if chat.HasField("tool_choice"):
        body["tool_choice"] = _tool_choice(chat.tool_choice)
    if chat.HasField("response_format"):
        body["response_format"] = _response_format(chat.response_format)
    _options(chat, body)
    options = body.pop("stream_options", None)
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    try:
        return Encoded("/chat/completions", orjson.dumps(body))
    except orjson.JSONEncodeError as error:  # nested more deeply than what can be written, though it could be read
        raise invalid("chat", f"cannot be written as JSON: {error}") from None


def _options(chat: chat_pb2.ChatRequest, body: Json) -> None:
    if chat.HasField("parallel_tool_calls"):
        body["parallel_tool_calls"] = chat.parallel_tool_calls
    if chat.HasField("choice_count"):
        body["n"] = chat.choice_count
    if chat.reasoning_effort:
        body["reasoning_effort"] = chat.reasoning_effort
    if chat.modalities:
        body["modalities"] = list(chat.modalities)
    if chat.service_tier:
        body["service_tier"] = chat.service_tier
    if chat.metadata:
        body["metadata"] = dict(chat.metadata)
    if chat.user:
        body["user"] = chat.user


def _sampling(sampling: chat_pb2.SamplingOptions, body: Json) -> None:
    for descriptor, value in sampling.ListFields():
        if name := _SAMPLING.get(descriptor.name):
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        # Whole numbers go out as such: OpenAI's schema wants integers here.
        body["logit_bias"] = {token: _whole(bias) for token, bias in sampling.logit_bias.items()}


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _message(message: chat_pb2.Message, path: str) -> Json:
    role = _ROLES.get(message.role)
    said: Json = {"role": role} if role else {}
    put_content(message, said, path)
    if message.name:
        said["name"] = message.name
    if message.tool_calls:
        said["tool_calls"] = [_tool_call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    lay_over(said, message, path)
    if "role" not in said:
        raise invalid(f"{path}.role", "is missing")
    return said


def _tool_call(call: chat_pb2.ToolCall, path: str) -> Json:
    said: Json = {"id": call.id, "type": call.type or "function"}
    if said["type"] == "function":
        said["function"] = {"name": call.name, "arguments": call.arguments}
    return lay_over(said, call, path)


def _tool(tool: chat_pb2.ToolDefinition, path: str) -> Json:
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
    return lay_over(said, tool, path)


def _tool_choice(choice: chat_pb2.ToolChoice) -> str | Json:
    if choice.extra_json:
        return json_object(choice.extra_json, "chat.tool_choice.extra_json")
    if choice.mode == chat_pb2.TOOL_CHOICE_MODE_NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    if choice.mode not in _TOOL_CHOICES:
        raise invalid("chat.tool_choice.mode", "is missing")
    return _TOOL_CHOICES[choice.mode]


def _response_format(wanted: chat_pb2.ResponseFormat) -> Json:
    said: Json = {}
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        said = {"type": "text"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        said = {"type": "json_object"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        schema: Json = {"name": wanted.name}
        if wanted.description:
            schema["description"] = wanted.description
        if wanted.schema_json:
            schema["schema"] = json_object(wanted.schema_json, "chat.response_format.schema_json")
        if wanted.HasField("strict"):
            schema["strict"] = wanted.strict
        said = {"type": "json_schema", "json_schema": schema}
    lay_over(said, wanted, "chat.response_format")
    if not said:
        raise invalid("chat.response_format.kind", "is missing")
    return said
