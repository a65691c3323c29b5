"""What a message says, as Anthropic's content blocks."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable

from mesh.errors import invalid
from services.providers.adapters.anthropic.citations import citations_told
from services.providers.adapters.anthropic.extra import NAME, Telling, lay_over
from services.providers.domain.json_objects import Json
from services.providers.domain.own_words import is_told_in, turn_part_away
from tollway.chat.v1 import chat_pb2

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]+)*;base64,(?P<data>.*)", re.DOTALL)
_PDF = "application/pdf"


def blocks_of(message: chat_pb2.Message, path: str, telling: Telling) -> list[Json]:
    """The blocks of what a message says, without its tool calls. Text that is empty is none: the API takes no such."""
    parts = enumerate(message.content)
    told = (block_of(part, f"{path}.content[{i}]", telling) for i, part in parts)
    return [block for block in told if block]


def plain_if_can_be(blocks: list[Json]) -> str | list[Json]:
    """One text that has nothing beside it as that text, everything else block by block."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def cache_mark(control: chat_pb2.CacheControl) -> Json:
    """Asks to keep the prompt up to here: five minutes, or as long as is said."""
    return {"type": "ephemeral", "ttl": control.lifetime} if control.lifetime else {"type": "ephemeral"}


def block_of(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    """The block that says what a part does; None where it is left out."""
    kind = part.WhichOneof("part")
    said = _KINDS[kind](part, path, telling) if kind else _unknown(part, path, telling)
    if said is None:
        return None
    if part.HasField("cache_control"):
        said["cache_control"] = cache_mark(part.cache_control)
    lay_over(said, part.extra_json, path, telling)
    if said.keys() == {"type", "text"} and not said["text"]:
        return None
    if kind in ("image", "file") and "source" not in said:
        raise invalid(f"{path}.{kind}", "has neither data nor url nor file_id")
    return said


def _unknown(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    """A kind of block that only its extra fields describe; another dialect's is nothing that could be told."""
    if is_told_in(NAME, part.extra_json, path, own=telling.own):
        return {}
    turn_part_away(part.extra_json, path, "is of a kind that has no place in Anthropic's API", telling.unsaid)
    return None


def _text(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json:
    said: Json = {"type": "text", "text": part.text}
    if part.citations and (told := citations_told(part.citations, path, telling)):
        said["citations"] = told
    return said


def _refusal(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json:
    # What the model said to decline is text like any other here.
    return {"type": "text", "text": part.refusal}


def _audio(part: chat_pb2.ContentPart, path: str, telling: Telling) -> None:
    telling.unsaid.refuse(f"{path}.audio", "has no place in Anthropic's API, whose models do not hear")


def _reasoning(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    """Thinking goes back with its proof, and only to whoever proved it."""
    thinking = part.reasoning
    if thinking.issuer in ("", NAME):
        if thinking.redacted:
            return {"type": "redacted_thinking", "data": _utf8(thinking.redacted, f"{path}.reasoning.redacted")}
        if thinking.signature:
            return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}
    telling.unsaid.leave_out(path)
    return None


def _image(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json:
    image = part.image
    said: Json = {"type": "image"}
    source = image.WhichOneof("source")
    if source == "url":
        said["source"] = _by_url(image.url)
    elif source == "data":
        said["source"] = _bytes(image.media_type or _sniffed(image.data), image.data)
    elif source == "file_id":
        said["source"] = {"type": "file", "file_id": image.file_id}
    if image.detail not in ("", "auto"):
        telling.unsaid.leave_out(f"{path}.image.detail")
    return said


def _file(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    """A document. Text of any kind is sent as plain text, as Anthropic asks for it; its name is the title."""
    file = part.file
    said: Json = {"type": "document"}
    source = file.WhichOneof("source")
    if source == "url":
        said["source"] = _by_url(file.url)
    elif source == "file_id":
        said["source"] = {"type": "file", "file_id": file.file_id}
    elif source == "data":
        if file.media_type == _PDF or (not file.media_type and file.data.startswith(b"%PDF-")):
            said["source"] = _bytes(_PDF, file.data)
        elif file.media_type.startswith("text/") or not file.media_type:
            text = _utf8(file.data, f"{path}.file.data")
            said["source"] = {"type": "text", "media_type": "text/plain", "data": text}
        elif telling.own:
            said["source"] = _bytes(file.media_type, file.data)
        else:
            why = f"is of the type {file.media_type}; Anthropic's API takes PDF and text as documents"
            telling.unsaid.refuse(f"{path}.file", why)
            return None
    if file.filename:
        said["title"] = file.filename
    return said


def _by_url(url: str) -> Json:
    """A data: URL is no address to Anthropic: what it holds is sent as bytes."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found["type"] or "application/octet-stream", "data": found["data"]}


def _bytes(media_type: str, data: bytes) -> Json:
    return {"type": "base64", "media_type": media_type, "data": b64encode(data).decode()}


def _sniffed(data: bytes) -> str:
    """The type of a picture whose sender named none, by how it begins."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), "image/png")


def _utf8(data: bytes, path: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise invalid(path, "is not UTF-8 text") from None


_BEGINNINGS: Iterable[tuple[bytes, str]] = ((b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_KINDS: dict[str, Callable[[chat_pb2.ContentPart, str, Telling], Json | None]] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "file": _file,
    "refusal": _refusal,
    "reasoning": _reasoning,
}
