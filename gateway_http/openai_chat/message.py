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
    read_each,
    read_fields,
    skip,
)
from tollway.chat.v1 import chat_pb2 as pb

_ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
    "function": pb.ROLE_FUNCTION,
}


def read_message(message: pb.Message, value: Any) -> None:
    message.extra_json = json_of(read_fields(_MESSAGE, message, a(dict, value)))
    if not message.role:
        raise Wrong("must be given", "role")


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


def _image(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_IMAGE, part.image, a(dict, value))
    if not part.image.url:
        raise Wrong("must be given", "url")
    return left


def _audio(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_AUDIO, part.audio, a(dict, value))
    if not part.audio.data:
        raise Wrong("must be given", "data")
    return left


def _file(part: pb.ContentPart, value: Any) -> Any:
    left = read_fields(_FILE, part.file, a(dict, value))
    if part.file.WhichOneof("source") is None:
        raise Wrong("must have file_data or file_id")
    return left


def _file_id(file: pb.FilePart, value: Any) -> None:
    _check_single_source(file)
    file.file_id = a(str, value)


def _file_data(file: pb.FilePart, value: Any) -> None:
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
    "reasoning_content": lambda message, value: setattr(message.content.add().reasoning, "text", a(str, value)),
    "tool_calls": lambda message, value: read_each(partial(_tool_call, message), value),
    "tool_call_id": into("tool_call_id", str),
}

_IMAGE: Readers = {"url": into("url", str), "detail": into("detail", str)}
_AUDIO: Readers = {"data": base64_into("data"), "format": into("format", str)}
_FILE: Readers = {"file_data": _file_data, "file_id": _file_id, "filename": into("filename", str)}

_PARTS: dict[str, Readers] = {
    "text": {"type": skip, "text": into("text", str)},
    "image_url": {"type": skip, "image_url": _image},
    "input_audio": {"type": skip, "input_audio": _audio},
    "file": {"type": skip, "file": _file},
    "refusal": {"type": skip, "refusal": into("refusal", str)},
}

_TOOL_CALL: Readers = {
    "id": into("id", str),
    "type": into("type", str),
    "function": here({"name": into("name", str), "arguments": into("arguments", str)}),
}
