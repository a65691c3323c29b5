"""Pictures, sound and documents, as Gemini's `inlineData` (the bytes) and `fileData` (where they are)."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlsplit

from mesh.errors import invalid
from services.providers.adapters.gemini.telling import Telling
from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_MEDIA_TYPES = {
    "avi": "video/x-msvideo",
    "css": "text/css",
    "csv": "text/csv",
    "flac": "audio/flac",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mov": "video/quicktime",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "rtf": "text/rtf",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "xml": "text/xml",
}
"""By the ending of a name. Gemini looks at the type, and never at the bytes or the name."""
_NO_HANDLE = "is a handle of another provider's"


def image(given: chat_pb2.ImagePart, path: str, telling: Telling) -> Json | None:
    """None: it had to be left out. How closely to look is a hint that Gemini takes for a whole question only."""
    if given.detail not in ("", "auto"):
        telling.unsaid.leave_out(f"{path}.detail")
    source = given.WhichOneof("source")
    if source == "data":
        return inline(given.media_type or "image/png", given.data)
    if source == "url":
        return _located(given.url, given.media_type, path)
    if source == "file_id":
        return _uploaded(given.file_id, given.media_type, path, telling)
    raise invalid(path, "has neither url nor data")


def audio(given: chat_pb2.AudioPart, path: str, telling: Telling) -> Json | None:
    """None: it had to be left out. What was said in it stays, where that is known."""
    if given.WhichOneof("source") == "data":
        # A format that is a media type of its own came from Gemini (`audio/L16;codec=pcm;rate=24000`).
        return inline(given.format if "/" in given.format else f"audio/{given.format or 'wav'}", given.data)
    if given.WhichOneof("source") == "id":
        telling.unsaid.refuse(f"{path}.id", _NO_HANDLE)
        return {"text": given.transcript} if given.transcript else None
    raise invalid(path, "has neither data nor id")


def file(given: chat_pb2.FilePart, path: str, telling: Telling) -> Json | None:
    """None: it had to be left out."""
    if given.filename:
        telling.unsaid.leave_out(f"{path}.filename")  # only Vertex AI has a place for it, and shows it to nobody
    media_type = given.media_type or _by_name(given.filename)
    source = given.WhichOneof("source")
    if source == "data":
        return inline(media_type or _by_content(given.data), given.data)
    if source == "url":
        return _located(given.url, media_type, path)
    if source == "file_id":
        return _uploaded(given.file_id, media_type, path, telling)
    raise invalid(path, "has neither data nor file_id nor url")


def inline(media_type: str, data: bytes) -> Json:
    return {"inlineData": {"mimeType": media_type, "data": b64encode(data).decode()}}


def _located(url: str, media_type: str, path: str) -> Json:
    if url.startswith("data:"):
        head, comma, data = url.removeprefix("data:").partition(",")
        if not comma or not head.endswith(";base64"):
            raise invalid(f"{path}.url", "must be a data: URL of base64")
        return {"inlineData": {"mimeType": head.removesuffix(";base64"), "data": data}}
    return _at(url, media_type or _by_name(urlsplit(url).path))


def _uploaded(handle: str, media_type: str, path: str, telling: Telling) -> Json | None:
    """Gemini calls an uploaded file by its address; what has the form of one is taken for it."""
    if telling.own or handle.startswith("files/") or "://" in handle:
        return _at(handle, media_type)
    telling.unsaid.refuse(f"{path}.file_id", _NO_HANDLE)
    return None


def _at(address: str, media_type: str) -> Json:
    return {"fileData": {"fileUri": address, **({"mimeType": media_type} if media_type else {})}}


def _by_name(name: str) -> str:
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "")


def _by_content(data: bytes) -> str:
    return "application/pdf" if data.startswith(b"%PDF-") else "application/octet-stream"
