"""The parts of a message, in Converse's blocks. Bytes travel in base64, and never by URL but in S3."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from unicodedata import normalize

from mesh.errors import invalid
from services.providers.adapters.bedrock.citations import citation_json
from services.providers.adapters.bedrock.claudes import ANTHROPIC, take_claudes
from services.providers.adapters.bedrock.options import is_claude
from services.providers.domain.json_objects import Json
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_VIDEOS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_SOUNDS = {
    "mp3",
    "opus",
    "wav",
    "aac",
    "flac",
    "mp4",
    "ogg",
    "mkv",
    "mka",
    "x-aac",
    "m4a",
    "mpeg",
    "mpga",
    "pcm",
    "webm",
}
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,(?P<data>.*)", re.DOTALL)
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_LONGEST_NAME = 200


def block(
    part: chat_pb2.ContentPart, path: str, model: str, answered: bool, words: OwnWords, unsaid: Unsaid
) -> Json | None:
    """A part as a block; None of one that says nothing, or is left out. `answered`: the model itself said it.

    Raises INVALID_REQUEST for an empty part, and UNSUPPORTED_FEATURE for what Converse cannot say.
    """
    kind = part.WhichOneof("part")
    said: Json | None
    if kind in ("text", "refusal"):
        said = _text(
            part, path, answered, words, unsaid
        )  # Converse does not tell the words of a refusal from any others
    elif kind == "image":
        said = _image(part.image, path, unsaid)
    elif kind == "audio":
        said = _audio(part.audio, path, unsaid)
    elif kind == "file":
        said = _file(part.file, path, unsaid)
    elif kind == "reasoning":
        said = _reasoning(part.reasoning, path, model, unsaid)
    elif part.extra_json:
        said = {}
    else:
        raise invalid(path, "is empty")
    if said is None:
        return None
    extra = take_claudes(part.extra_json, said, path) if words.dialect == ANTHROPIC else part.extra_json
    return words.lay_over(said, extra, path) or None


def _text(part: chat_pb2.ContentPart, path: str, answered: bool, words: OwnWords, unsaid: Unsaid) -> Json | None:
    text = part.text or part.refusal
    if not text:
        return None  # Bedrock takes no empty text, and it says nothing
    if not part.citations:
        return {"text": text}
    if not answered:
        unsaid.leave_out(f"{path}.citations")
        return {"text": text}
    citations = [citation_json(each, f"{path}.citations[{i}]", words) for i, each in enumerate(part.citations)]
    return {"citationsContent": {"content": [{"text": text}], "citations": citations}}


def _image(image: chat_pb2.ImagePart, path: str, unsaid: Unsaid) -> Json | None:
    if image.detail:
        unsaid.leave_out(f"{path}.image.detail")
    media_type, source = _source(image, f"{path}.image", image.media_type, unsaid)
    if source is None:
        return None
    return _medium("image", _IMAGES.get(media_type), media_type, source, f"{path}.image", unsaid)


def _audio(audio: chat_pb2.AudioPart, path: str, unsaid: Unsaid) -> Json | None:
    if audio.WhichOneof("source") != "data":
        unsaid.refuse(f"{path}.audio.id", "cannot be told to Bedrock, which takes sound as bytes")
        return None
    source = {"bytes": b64encode(audio.data).decode()}
    known = audio.format if audio.format in _SOUNDS else None
    return _medium("audio", known, audio.format, source, f"{path}.audio", unsaid)


def _file(file: chat_pb2.FilePart, path: str, unsaid: Unsaid) -> Json | None:
    media_type, source = _source(file, f"{path}.file", file.media_type, unsaid)
    if source is None:
        return None
    if media_type.startswith("video/"):
        return _medium("video", _VIDEOS.get(media_type), media_type, source, f"{path}.file", unsaid)
    if media_type in _IMAGES:
        return _medium("image", _IMAGES[media_type], media_type, source, f"{path}.file", unsaid)
    stem, _, ending = file.filename.rpartition(".")
    known = _DOCUMENTS.get(media_type) or (ending if ending in _DOCUMENTS.values() else None)
    said = _medium("document", known, media_type or file.filename, source, f"{path}.file", unsaid)
    if said is not None:
        said["document"]["name"] = _name(stem or ending)
    return said


def _medium(kind: str, known: str | None, given: str, source: Json, path: str, unsaid: Unsaid) -> Json | None:
    if known is None:
        unsaid.refuse(path, f"is of a kind that Bedrock takes no {kind} of ({given or 'not given'})")
        return None
    return {kind: {"format": known, "source": source}}


def _name(title: str) -> str:
    """A name that Bedrock takes: letters, digits, single spaces, hyphens and brackets."""
    plain = normalize("NFKD", title).encode("ascii", "ignore").decode()
    return " ".join(_NOT_IN_A_NAME.sub(" ", plain).split())[:_LONGEST_NAME] or "document"


def _source(
    held: chat_pb2.ImagePart | chat_pb2.FilePart, path: str, media_type: str, unsaid: Unsaid
) -> tuple[str, Json | None]:
    """What kind of bytes, and where they are; None where Bedrock cannot be told."""
    kind = held.WhichOneof("source")
    if kind == "data":
        return media_type, {"bytes": b64encode(held.data).decode()}
    if kind == "url" and (inline := _DATA_URL.fullmatch(held.url)):
        return inline["type"] or media_type, {"bytes": _checked(inline["data"], path)}
    if kind == "url" and held.url.startswith("s3://"):
        return media_type or _type_of(held.url), {"s3Location": {"uri": held.url}}
    if kind is None:
        raise invalid(path, "has neither url nor data")
    unsaid.refuse(f"{path}.{kind}", "cannot be told to Bedrock, which takes bytes and what is in S3; send the bytes")
    return media_type, None


def _checked(data: str, path: str) -> str:
    try:
        b64decode(data, validate=True)
    except Error:
        raise invalid(f"{path}.url", "is not base64") from None
    return data


def _type_of(url: str) -> str:
    """By its ending, where nothing else says what kind of bytes there are."""
    ending = url.rpartition(".")[2].lower()
    kinds = _IMAGES | _DOCUMENTS | _VIDEOS
    return next((media_type for media_type, known in kinds.items() if known == ending), "")


def _reasoning(thought: chat_pb2.ReasoningPart, path: str, model: str, unsaid: Unsaid) -> Json | None:
    proven = thought.signature or thought.redacted
    # Someone else's proof is worth nothing here, and Claude takes no thought back that it has not signed.
    if thought.issuer not in ("", "bedrock") or (not proven and (is_claude(model) or not thought.text)):
        unsaid.leave_out(path)
        return None
    if thought.redacted:
        return {"reasoningContent": {"redactedContent": thought.redacted.decode()}}
    said: Json = {"text": thought.text}
    if thought.signature:
        said["signature"] = thought.signature
    return {"reasoningContent": {"reasoningText": said}}
