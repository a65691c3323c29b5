"""The content blocks of Anthropic's messages, from JSON to `tollway.chat.v1`.

Source: Anthropic's Messages API. A block of a kind that is not known here travels whole: whoever is asked may know it.
So do a document that is made of blocks and a picture from a source of another kind, which have no other form.
"""

from __future__ import annotations

from typing import Any

from gateway_http.anthropic.citations import read_citation
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    base64_into,
    encode_json,
    into,
    json_of,
    read_each,
    read_fields,
    skip,
    under,
)
from gateway_http.foreign import read_proof
from tollway.chat.v1 import chat_pb2 as pb

REMARKS: Readers = dict.fromkeys(("openai", "openai_responses", "gemini", "bedrock", "cohere"), skip)
"""What an answer's block carried of another provider's own (`foreign.put_extra`), and comes back with it: nothing that
can be said in this dialect."""


def kind_of(value: Any) -> str:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of this block", "type")
    return kind


def read_blocks(parts: Any, value: Any) -> None:
    """Adds a string, as one text, or an array of blocks to a repeated field of parts."""
    if isinstance(value, str):
        parts.add().text = value
    elif isinstance(value, list):
        read_each(lambda item: read_block(parts.add(), item), value)
    else:
        raise Wrong("must be a string or an array of blocks")


def read_block(part: pb.ContentPart, value: Any) -> None:
    """Reads a block that is neither a tool's call nor a tool's result."""
    kind = kind_of(value)
    reader = _BLOCKS.get(kind)
    if reader is None:
        part.extra_json = encode_json(value)
    else:
        reader(part, value)


def cache_control(target: Any, value: Any) -> Any:
    """`{"type": "ephemeral", "ttl": "1h"}`, into any message that has a place for it."""
    if a(dict, value).get("type") != "ephemeral":
        return value
    control = pb.CacheControl()
    left = read_fields(_CACHE_CONTROL, control, value)
    target.cache_control.CopyFrom(control)
    return left


def _text(part: pb.ContentPart, value: dict[str, Any]) -> None:
    part.extra_json = json_of(read_fields(_TEXT, part, value))
    if part.WhichOneof("part") is None:
        raise Wrong("must be given", "text")


def _image(part: pb.ContentPart, value: dict[str, Any]) -> None:
    source = _source(value)
    if source.get("type") not in _IMAGE_SOURCES:
        part.extra_json = encode_json(value)
        return
    part.extra_json = json_of(read_fields(_IMAGE, part, value))


def _image_source(image: pb.ImagePart, value: dict[str, Any]) -> Any:
    return _read_source(_IMAGE_SOURCES[value["type"]], image, value)


def _document(part: pb.ContentPart, value: dict[str, Any]) -> None:
    source = _source(value)
    if source.get("type") not in _DOCUMENT_SOURCES:
        part.extra_json = encode_json(value)
        return
    part.extra_json = json_of(read_fields(_DOCUMENT, part, value))


def _document_source(file: pb.FilePart, value: dict[str, Any]) -> Any:
    left = _read_source(_DOCUMENT_SOURCES[value["type"]], file, value)
    if value["type"] == "url":
        file.media_type = file.media_type or "application/pdf"  # the only kind that is fetched
    return left


def _read_source(known: tuple[Readers, tuple[str, ...]], target: Any, value: dict[str, Any]) -> Any:
    readers, needed = known
    left = read_fields(readers, target, value)
    for name in needed:
        if value.get(name) is None:
            raise Wrong("must be given", name)
    return left


def _source(value: dict[str, Any]) -> dict[str, Any]:
    source = value.get("source")
    if source is None:
        raise Wrong("must be given", "source")
    try:
        kind_of(source)
    except Wrong as wrong:
        wrong.rise("source")
        raise
    return a(dict, source)  # type: ignore[no-any-return]


def _thinking(part: pb.ContentPart, value: dict[str, Any]) -> None:
    part.extra_json = json_of(read_fields(_THINKING, part, value))
    if value.get("thinking") is None:
        raise Wrong("must be given", "thinking")


def _signature(part: pb.ContentPart, value: Any) -> None:
    proof = read_proof(a(str, value), "anthropic")
    if proof.text:
        part.reasoning.signature, part.reasoning.issuer = proof.text, proof.issuer


def _redacted(part: pb.ContentPart, value: dict[str, Any]) -> None:
    part.extra_json = json_of(read_fields(_REDACTED, part, value))
    if value.get("data") is None:
        raise Wrong("must be given", "data")


def _redacted_data(part: pb.ContentPart, value: Any) -> None:
    proof = read_proof(a(str, value), "anthropic")
    part.reasoning.redacted, part.reasoning.issuer = proof.text.encode(), proof.issuer


_CACHE_CONTROL: Readers = {"type": skip, "ttl": into("lifetime", str)}

_TEXT: Readers = {
    "type": skip,
    "text": into("text", str),
    "citations": lambda part, value: read_each(lambda item: read_citation(part.citations.add(), item), value),
    "cache_control": cache_control,
    **REMARKS,
}
_IMAGE: Readers = {
    "type": skip,
    "source": under("image", _image_source),
    "cache_control": cache_control,
}
_IMAGE_SOURCES: dict[str, tuple[Readers, tuple[str, ...]]] = {
    "base64": (
        {"type": skip, "media_type": into("media_type", str), "data": base64_into("data")},
        ("media_type", "data"),
    ),
    "url": ({"type": skip, "url": into("url", str)}, ("url",)),
    "file": ({"type": skip, "file_id": into("file_id", str)}, ("file_id",)),
}
_DOCUMENT: Readers = {
    "type": skip,
    "source": under("file", _document_source),
    "title": lambda part, value: setattr(part.file, "filename", a(str, value)),
    "cache_control": cache_control,
}
_DOCUMENT_SOURCES: dict[str, tuple[Readers, tuple[str, ...]]] = {
    **_IMAGE_SOURCES,
    "text": (
        {
            "type": skip,
            "media_type": into("media_type", str),
            "data": lambda file, value: setattr(file, "data", a(str, value).encode()),
        },
        ("media_type", "data"),
    ),
}
_THINKING: Readers = {
    "type": skip,
    "thinking": lambda part, value: setattr(part.reasoning, "text", a(str, value)),
    "signature": _signature,
    **REMARKS,
}
_REDACTED: Readers = {"type": skip, "data": _redacted_data, **REMARKS}

_BLOCKS = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
