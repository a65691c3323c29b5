"""ChatRequest to OpenAI's JSON: the way back of what the HTTP edge does with an OpenAI client's request.

Whatever has no field of its own in the messages travels in their `extra_json`, and is laid over what is built here,
object into object, so that an unknown key goes out where it came in.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson

from mesh.errors import Reason, TollwayError, invalid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]

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


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is not JSON, and UNSUPPORTED_FEATURE for what chat
    completions cannot say.
    """
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    body = _json_object(chat.extra_json, "chat.extra_json")
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
    _content(message, said, path)
    if message.name:
        said["name"] = message.name
    if message.tool_calls:
        said["tool_calls"] = [_tool_call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    _lay_over(said, message, path)
    if "role" not in said:
        raise invalid(f"{path}.role", "is missing")
    return said


def _content(message: chat_pb2.Message, said: Json, path: str) -> None:
    """What is said: text alone as a string, nothing as null, everything else part by part.

    Thinking, refusals and earlier sound have no place among the parts; they are fields of the message.
    """
    parts = []
    for i, part in enumerate(message.content):
        kind = part.WhichOneof("part")
        if kind == "reasoning":
            # A signature and redacted thinking mean something to the provider they came from alone; this dialect has
            # no place for them.
            said["reasoning_content"] = said.get("reasoning_content", "") + part.reasoning.text
        elif kind == "refusal":
            said["refusal"] = said.get("refusal", "") + part.refusal
        elif kind == "audio" and part.audio.WhichOneof("source") == "id":
            said["audio"] = {"id": part.audio.id}
        else:
            parts.append(_part(part, kind, f"{path}.content[{i}]"))
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        said["content"] = parts[0]["text"]
    else:
        said["content"] = parts or None


def _part(part: chat_pb2.ContentPart, kind: str | None, path: str) -> Json:
    said: Json
    if kind == "text":
        said = {"type": "text", "text": part.text}
    elif kind == "image":
        said = {"type": "image_url", "image_url": _image(part.image, path)}
    elif kind == "audio":
        data = b64encode(part.audio.data).decode()
        said = {"type": "input_audio", "input_audio": {"data": data, "format": part.audio.format}}
    elif kind == "file":
        said = {"type": "file", "file": _file(part.file, path)}
    elif part.extra_json:
        said = {}
    else:
        raise invalid(path, "is empty")
    return _lay_over(said, part, path)


def _image(image: chat_pb2.ImagePart, path: str) -> Json:
    source = image.WhichOneof("source")
    if source == "url":
        said = {"url": image.url}
    elif source == "data":
        said = {"url": _data_url(image.media_type or "image/png", image.data)}
    elif source == "file_id":
        raise TollwayError(
            Reason.UNSUPPORTED_FEATURE, f"{path}.image.file_id: this provider takes pictures by URL only"
        )
    else:
        raise invalid(f"{path}.image", "has neither url nor data")
    if image.detail:
        said["detail"] = image.detail
    return said


def _file(file: chat_pb2.FilePart, path: str) -> Json:
    source = file.WhichOneof("source")
    if source == "file_id":
        said = {"file_id": file.file_id}
    elif source == "data":
        # Without a type it came as bare base64, and goes on as that.
        bare = b64encode(file.data).decode()
        said = {"file_data": _data_url(file.media_type, file.data) if file.media_type else bare}
    elif source == "url":
        said = {"file_data": file.url}
    else:
        raise invalid(f"{path}.file", "has neither data nor file_id nor url")
    if file.filename:
        said["filename"] = file.filename
    return said


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def _tool_call(call: chat_pb2.ToolCall, path: str) -> Json:
    said: Json = {"id": call.id, "type": call.type or "function"}
    if said["type"] == "function":
        said["function"] = {"name": call.name, "arguments": call.arguments}
    return _lay_over(said, call, path)


def _tool(tool: chat_pb2.ToolDefinition, path: str) -> Json:
    said: Json = {"type": tool.type or "function"}
    if said["type"] == "function":
        function: Json = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters_json:
            function["parameters"] = _json_object(tool.parameters_json, f"{path}.parameters_json")
        if tool.HasField("strict"):
            function["strict"] = tool.strict
        said["function"] = function
    return _lay_over(said, tool, path)


def _tool_choice(choice: chat_pb2.ToolChoice) -> str | Json:
    if choice.extra_json:
        return _json_object(choice.extra_json, "chat.tool_choice.extra_json")
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
            schema["schema"] = _json_object(wanted.schema_json, "chat.response_format.schema_json")
        if wanted.HasField("strict"):
            schema["strict"] = wanted.strict
        said = {"type": "json_schema", "json_schema": schema}
    _lay_over(said, wanted, "chat.response_format")
    if not said:
        raise invalid("chat.response_format.kind", "is missing")
    return said


def _lay_over(said: Json, message: Any, path: str) -> Json:
    """Lays a message's extra fields over what was built from its known ones."""
    if message.extra_json:
        _merge(said, _json_object(message.extra_json, f"{path}.extra_json"))
    return said


def _merge(into: Json, extra: Json) -> None:
    for key, value in extra.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            into[key] = value


def _json_object(text: bytes, path: str) -> Json:
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value
