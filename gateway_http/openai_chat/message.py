"""A message of OpenAI's chat completion request, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    base64,
    base64_into,
    encode_json,
    here,
    into,
    json_of,
    keep,
    read_each,
    read_fields,
    skip,
)
from gateway_http.openai_chat.annotations import take_citations
from gateway_http.openai_chat.foreign_parts import take_parts
from gateway_http.openai_chat.reasoning import take_reasoning
from tollway.chat.v1 import chat_pb2 as pb

_ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
    "function": pb.ROLE_FUNCTION,
}


_PLAIN = frozenset({"role", "content", "name"})
"""What nearly all messages have, and nothing else."""


def read_message(message: pb.Message, value: Any) -> None:
    if a(dict, value).keys() <= _PLAIN:
        read_fields(_MESSAGE, message, value)
    else:
        _read_everything(message, dict(value))
    if not message.role:
        raise Wrong("must be given", "role")


def _read_everything(message: pb.Message, fields: dict[str, Any]) -> None:
    take_reasoning(message, fields)  # it comes before what was said
    left = read_fields(_MESSAGE, message, fields) or {}
    take_citations(message, left)
    take_parts(message, left)
    message.extra_json = json_of(left)


def _role(message: pb.Message, value: Any) -> None:
    role = _ROLES.get(a(str, value))
    if role is None:
        raise Wrong(f"must be one of {', '.join(_ROLES)}")
    message.role = role


def _content(message: pb.Message, value: Any) -> None:
    if isinstance(value, str):
        message.content.add().text = value
    elif isinstance(value, list):
        read_each(lambda item: _part(message.content.add(), item), value)
    else:
        raise Wrong("must be a string or an array of parts")


def _part(part: pb.ContentPart, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of this part", "type")
    readers = _PARTS.get(kind)
    if readers is None:  # a kind we do not know: whoever is asked may
        part.extra_json = encode_json(value)
        return
    part.extra_json = json_of(read_fields(readers, part, value))
    if part.WhichOneof("part") is None:
        raise Wrong("must be given", kind)


def read_cache_control(target: pb.ContentPart | pb.ToolDefinition, value: Any) -> Any:
    """`{"type": "ephemeral", "ttl": "1h"}`, as Anthropic's API and those that follow it mark the end of a prefix."""
    if a(dict, value).get("type") != "ephemeral":
        return value
    target.cache_control.SetInParent()
    return read_fields(_CACHE_CONTROL, target.cache_control, value)


def _image(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_IMAGE, part.image, a(dict, value))
    if not part.image.url:
        raise Wrong("must be given", "url")
    return left


def _made_image(message: pb.Message, value: Any) -> None:
    """A picture that the model made in an earlier answer."""
    part = message.content.add()
    part.extra_json = json_of(read_fields(_MADE_IMAGE, part, a(dict, value)))
    if not part.image.url:
        raise Wrong("must be given", "image_url", "url")


def _said(message: pb.Message, value: Any) -> Any:
    """Sound that the model made in an earlier answer: its handle, which its maker takes in place of the bytes."""
    if a(dict, value).get("id") is None:
        return value
    if value["id"] == "" and value.get("data"):  # nobody holds it
        return read_fields(_HEARD, message.content.add().audio, value)
    return read_fields(_SAID, message.content.add().audio, value)


def read_audio(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_AUDIO, part.audio, a(dict, value))
    if not part.audio.data:
        raise Wrong("must be given", "data")
    return left


def _file(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_FILE, part.file, a(dict, value))
    if part.file.WhichOneof("source") is None:
        raise Wrong("must have file_data or file_id")
    return left


def read_file_id(file: pb.FilePart, value: Any) -> None:
    _check_single_source(file)
    file.file_id = a(str, value)


def read_file_url(file: pb.FilePart, value: Any) -> None:
    _check_single_source(file)
    file.url = a(str, value)


def read_file_data(file: pb.FilePart, value: Any) -> None:
    """A `data:` URL, an address, or bare base64: all three are seen in the wild."""
    _check_single_source(file)
    if a(str, value).startswith(("http://", "https://")):
        file.url = value
    elif value.startswith("data:"):
        head, comma, data = value.removeprefix("data:").partition(",")
        if not comma or not head.endswith(";base64"):
            raise Wrong("must be a data: URL of base64")
        file.data, file.media_type = base64(data), head.removesuffix(";base64")
    else:
        file.data = base64(value)


def _thought(call: pb.ToolCall, value: Any) -> Any:
    """Gemini's proof of the thinking that led to a call, where Google's own compatible API has it."""
    return read_fields(_GOOGLES, call, a(dict, value))


def _check_single_source(file: pb.FilePart) -> None:
    if file.WhichOneof("source") is not None:
        raise Wrong("must not stand beside another source of the file")


def _tool_call(message: pb.Message, value: Any) -> None:
    call = message.tool_calls.add(type="function")
    call.extra_json = json_of(read_fields(_TOOL_CALL, call, a(dict, value)))
    if call.type == "function" and not call.name:
        raise Wrong("must be given", "function", "name")


_MESSAGE: Readers = {
    "role": _role,
    "name": into("name", str),
    "content": _content,
    "refusal": lambda message, value: setattr(message.content.add(), "refusal", a(str, value)),
    "audio": _said,
    "images": lambda message, value: read_each(partial(_made_image, message), value),
    "tool_calls": lambda message, value: read_each(partial(_tool_call, message), value),
    "tool_call_id": into("tool_call_id", str),
    "function_call": keep,
    "annotations": keep,
    "citations": keep,
    "content_parts": keep,
    "parsed": skip,  # OpenAI's SDKs say beside a text what JSON it holds, and send that back with it
}

_IMAGE: Readers = {"url": into("url", str), "detail": into("detail", str)}
_AUDIO: Readers = {"data": base64_into("data"), "format": into("format", str)}
_FILE: Readers = {"file_data": read_file_data, "file_id": read_file_id, "filename": into("filename", str)}

_SAID: Readers = {"id": into("id", str)}
_HEARD: Readers = {**_AUDIO, "id": skip, "expires_at": skip, "transcript": into("transcript", str)}
_CACHE_CONTROL: Readers = {"type": skip, "ttl": into("lifetime", str)}
_ANY: Readers = {"type": skip, "cache_control": read_cache_control}

_PARTS: dict[str, Readers] = {
    "text": {**_ANY, "text": into("text", str)},
    "image_url": {**_ANY, "image_url": _image},
    "input_audio": {**_ANY, "input_audio": read_audio},
    "file": {**_ANY, "file": _file},
    "refusal": {**_ANY, "refusal": into("refusal", str)},
}
_MADE_IMAGE: Readers = {**_PARTS["image_url"], "index": skip}

_GOOGLES: Readers = {"google": here({"thought_signature": into("signature", str)})}

_TOOL_CALL: Readers = {
    "id": into("id", str),
    "type": into("type", str),
    "function": here({"name": into("name", str), "arguments": into("arguments", str), "parsed_arguments": skip}),
    "extra_content": _thought,
    "index": skip,  # a place in the stream that the call came in
}
