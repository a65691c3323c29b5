"""What a part of a message says, as a part of one of the Responses' items."""

from __future__ import annotations

from base64 import b64encode

from mesh.errors import invalid
from services.providers.adapters.openai.content import data_url, image_url, place_of
from services.providers.adapters.openai.extra import FOREIGN, Asked
from services.providers.domain.json_objects import Json
from services.providers.domain.own_words import is_told_in, turn_part_away
from tollway.chat.v1 import chat_pb2

URL_CITATION = "url_citation"
_ANNOTATIONS = (URL_CITATION, "file_citation", "container_file_citation", "file_path")
_NAMES = {"application/pdf": "document.pdf", "text/plain": "document.txt"}


def input_part(part: chat_pb2.ContentPart, asked: Asked, path: str) -> Json | None:
    """A part of what the model is told. None: it was left out."""
    kind = part.WhichOneof("part")
    said: Json
    if kind == "text":
        said = {"type": "input_text", "text": part.text}
    elif kind == "image":
        said = {"type": "input_image", "detail": part.image.detail or "auto"}
        if part.image.WhichOneof("source") == "file_id":
            said["file_id"] = part.image.file_id
        else:
            said["image_url"] = image_url(part.image, path)
    elif kind == "file":
        said = {"type": "input_file", **_file(part.file, path)}
    elif kind in ("audio", "reasoning", "refusal"):
        asked.unsaid.refuse(f"{path}.{kind}", "has no place there in OpenAI's Responses")
        return None
    else:
        return _unknown(part, asked, path)
    return _finished(said, part, asked, path)


def output_part(part: chat_pb2.ContentPart, asked: Asked, path: str) -> Json | None:
    """A part of what the model said earlier. None: it was left out."""
    kind = part.WhichOneof("part")
    said: Json
    if kind == "text":
        said = {"type": "output_text", "text": part.text}
        if annotations := _annotations(part, asked, path):
            said["annotations"] = annotations
    elif kind == "refusal":
        said = {"type": "refusal", "refusal": part.refusal}
    elif kind is not None:
        asked.unsaid.refuse(f"{path}.{kind}", "cannot be said again in OpenAI's Responses")
        return None
    else:
        return _unknown(part, asked, path)
    return _finished(said, part, asked, path)


def _unknown(part: chat_pb2.ContentPart, asked: Asked, path: str) -> Json | None:
    if is_told_in(asked.dialect, part.extra_json, path, own=asked.own):
        return asked.lay_over({}, part, path)
    turn_part_away(part.extra_json, path, FOREIGN, asked.unsaid)
    return None


def _finished(said: Json, part: chat_pb2.ContentPart, asked: Asked, path: str) -> Json:
    if part.HasField("cache_control"):
        asked.unsaid.leave_out(f"{path}.cache_control")
    return asked.lay_over(said, part, path)


def _file(file: chat_pb2.FilePart, path: str) -> Json:
    source = file.WhichOneof("source")
    if source == "file_id":
        said = {"file_id": file.file_id}
    elif source == "url":
        said = {"file_url": file.url}
    elif source == "data":
        # Without a type it came as bare base64, and goes on as that.
        bare = b64encode(file.data).decode()
        said = {"file_data": data_url(file.media_type, file.data) if file.media_type else bare}
        said["filename"] = _NAMES.get(file.media_type, "document")  # bytes have to have a name
    else:
        raise invalid(f"{path}.file", "has neither data nor file_id nor url")
    if file.filename:
        said["filename"] = file.filename
    return said


def _annotations(part: chat_pb2.ContentPart, asked: Asked, path: str) -> list[Json]:
    annotations = []
    for i, citation in enumerate(part.citations):
        place = f"{path}.citations[{i}]"
        if citation.type not in _ANNOTATIONS or (citation.extra_json and not asked.own):
            asked.unsaid.leave_out(place)
            continue
        said: Json = {"type": citation.type, **place_of(citation)}
        if citation.type == URL_CITATION:
            said |= {"url": citation.url, "title": citation.title}
        annotations.append(asked.lay_over(said, citation, place))
    return annotations
