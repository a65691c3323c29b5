"""What a message says, in OpenAI's JSON: a string, null, or parts."""

from __future__ import annotations

from base64 import b64encode

from mesh.errors import invalid
from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai.thinking import put_thinking, thinking_part
from services.providers.domain.foreign import only_remarks
from services.providers.domain.json_objects import Json, json_object
from services.providers.domain.tool_failures import failed
from tollway.chat.v1 import chat_pb2

_URL = "url_citation"
_TEXT_ALONE = "can be given to this provider as text alone, in a tool's answer"


def put_content(message: chat_pb2.Message, said: Json, asked: Asked, path: str) -> None:
    """What is said: text alone as a string, nothing as null, everything else part by part.

    Refusals, citations, earlier sound and, but for Mistral, thinking have no place among the parts; they are fields of
    the message.
    """
    given = message.content
    if len(given) == 1 and _is_plain(given[0]) and not message.tool_failed:
        said["content"] = given[0].text
        return
    parts: list[Json] = []
    said["content"] = None  # it comes before a refusal
    for i, part in enumerate(given):
        place, kind = f"{path}.content[{i}]", part.WhichOneof("part")
        if kind == "reasoning" and asked.quirks.reasoning_parts:
            parts += thinking_part(part, asked, place)
        elif kind == "reasoning":
            put_thinking(part, said, asked, place)
        elif kind == "refusal":
            said["refusal"] = said.get("refusal", "") + part.refusal
        elif kind == "audio" and part.audio.WhichOneof("source") == "id":
            said["audio"] = {"id": part.audio.id}
        elif kind not in ("text", None) and message.role == chat_pb2.ROLE_TOOL and not asked.own:
            asked.unsaid.refuse(f"{place}.{kind}", _TEXT_ALONE)
        elif (written := _part(part, kind, asked, place)) is not None:
            # What the model itself drew stands beside its words, as OpenRouter has it.
            drawn = kind == "image" and message.role == chat_pb2.ROLE_ASSISTANT
            (said.setdefault("images", []) if drawn else parts).append(written)
            _put_citations(part, message.role, said, asked, place)
    if message.tool_failed:
        parts = failed(parts, "text")
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        said["content"] = parts[0]["text"]
    else:
        said["content"] = parts or None


def _is_plain(part: chat_pb2.ContentPart) -> bool:
    """Whether there is text, and nothing to it, as in nearly all messages."""
    return part.HasField("text") and not (part.extra_json or part.citations or part.HasField("cache_control"))


def _part(part: chat_pb2.ContentPart, kind: str | None, asked: Asked, path: str) -> Json | None:
    said: Json
    if kind == "text":
        said = {"type": "text", "text": part.text}
    elif kind == "image":
        if part.image.WhichOneof("source") == "file_id":
            asked.unsaid.refuse(f"{path}.image.file_id", "cannot be told to this provider, which takes pictures by URL")
            return None
        said = {"type": "image_url", "image_url": _image(part.image, path)}
    elif kind == "audio":
        data = b64encode(part.audio.data).decode()
        said = {"type": "input_audio", "input_audio": {"data": data, "format": part.audio.format}}
    elif kind == "file":
        said = {"type": "file", "file": _file(part.file, path)}
    elif not part.extra_json:
        raise invalid(path, "is empty")
    elif asked.own or only_remarks(json_object(part.extra_json, f"{path}.extra_json")):
        said = asked.lay_over({}, part, path)
        if said:
            put_cache_control(part, said, asked, path)
        return said or None
    else:
        asked.refuse_foreign(path)
        return None
    put_cache_control(part, said, asked, path)
    return asked.lay_over(said, part, path)


def put_cache_control(
    message: chat_pb2.ContentPart | chat_pb2.ToolDefinition, said: Json, asked: Asked, path: str
) -> None:
    """Marks the end of a prefix that is worth keeping as Anthropic does, to servers that take it."""
    if not message.HasField("cache_control"):
        return
    if not asked.quirks.cache_control:
        asked.unsaid.leave_out(f"{path}.cache_control")
        return
    lifetime = message.cache_control.lifetime
    said["cache_control"] = {"type": "ephemeral", "ttl": lifetime} if lifetime else {"type": "ephemeral"}


def _put_citations(part: chat_pb2.ContentPart, role: int, said: Json, asked: Asked, path: str) -> None:
    for i, citation in enumerate(part.citations):
        if citation.type != _URL or role != chat_pb2.ROLE_ASSISTANT or not asked.own:
            asked.unsaid.leave_out(f"{path}.citations[{i}]")
            continue
        about: Json = {"url": citation.url, "title": citation.title, **place_of(citation)}
        if citation.cited_text:
            about["content"] = citation.cited_text
        annotation: Json = {"type": _URL, _URL: about}
        said.setdefault("annotations", []).append(asked.lay_over(annotation, citation, f"{path}.citations[{i}]"))


def place_of(citation: chat_pb2.Citation) -> Json:
    """Which characters of the answer a citation is about, in OpenAI's names."""
    said: Json = {"start_index": citation.answer_start} if citation.HasField("answer_start") else {}
    if citation.HasField("answer_end"):
        said["end_index"] = citation.answer_end
    return said


def _image(image: chat_pb2.ImagePart, path: str) -> Json:
    said = {"url": image_url(image, path)}
    if image.detail:
        said["detail"] = image.detail
    return said


def image_url(image: chat_pb2.ImagePart, path: str) -> str:
    """Where a picture is, or the picture itself in a `data:` URL. Raises INVALID_REQUEST for one that is neither."""
    source = image.WhichOneof("source")
    if source == "url":
        return image.url
    if source == "data":
        return data_url(image.media_type or "image/png", image.data)
    raise invalid(f"{path}.image", "has neither url nor data")


def _file(file: chat_pb2.FilePart, path: str) -> Json:
    source = file.WhichOneof("source")
    if source == "file_id":
        said = {"file_id": file.file_id}
    elif source == "data":
        # Without a type it came as bare base64, and goes on as that.
        bare = b64encode(file.data).decode()
        said = {"file_data": data_url(file.media_type, file.data) if file.media_type else bare}
    elif source == "url":
        said = {"file_data": file.url}
    else:
        raise invalid(f"{path}.file", "has neither data nor file_id nor url")
    if file.filename:
        said["filename"] = file.filename
    return said


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"
