"""What a message says, in OpenAI's JSON: a string, null, or parts."""

from __future__ import annotations

from base64 import b64encode

from mesh.errors import Reason, TollwayError, invalid
from services.providers.adapters.openai.extra import Json, lay_over
from tollway.chat.v1 import chat_pb2


def put_content(message: chat_pb2.Message, said: Json, path: str) -> None:
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
    return lay_over(said, part, path)


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
