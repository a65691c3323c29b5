"""The parts of a message of OpenAI's Responses, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    at,
    encode_json,
    into,
    json_of,
    read_each,
    read_fields,
    skip,
    under,
    whole_number_into,
)
from gateway_http.openai_chat.annotations import read_citations
from gateway_http.openai_chat.message import read_audio, read_cache_control, read_file_data, read_file_id, read_file_url
from tollway.chat.v1 import chat_pb2 as pb


def read_content(message: pb.Message, value: Any) -> None:
    """A string, or parts. Parts of a kind that is not known are carried whole."""
    if isinstance(value, str):
        message.content.add().text = value
    elif isinstance(value, list):
        read_each(lambda item: _read_part(message.content.add(), item), value)
    else:
        raise Wrong("must be a string or an array of parts")


def _read_part(part: pb.ContentPart, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of this part", "type")
    readers, needed = _PARTS.get(kind, (None, ""))
    if readers is None:
        part.extra_json = encode_json(value)
        return
    part.extra_json = json_of(read_fields(readers, part, value))
    if part.WhichOneof("part") is None or not _has_source(part):
        raise Wrong("must be given", needed)


def _has_source(part: pb.ContentPart) -> bool:
    kind = part.WhichOneof("part")
    return kind not in ("image", "file") or getattr(part, kind).WhichOneof("source") is not None


def read_text(part: pb.ContentPart, value: Any) -> None:
    part.text = a(str, value)


def _annotations(part: pb.ContentPart, value: Any) -> None:
    read_each(lambda item: _annotation(part.citations.add(), item), value)


def _annotation(citation: pb.Citation, value: Any) -> None:
    citation.extra_json = json_of(read_fields(_ANNOTATION, citation, a(dict, value)))


_ANNOTATION: Readers = {
    "type": into("type", str),
    "url": into("url", str),
    "title": into("title", str),
    "content": into("cited_text", str),
    "start_index": whole_number_into("answer_start", 64),
    "end_index": whole_number_into("answer_end", 64),
}

_ANY: Readers = {"type": skip, "cache_control": read_cache_control}
_TEXT: Readers = {
    **_ANY,
    "text": read_text,
    "annotations": _annotations,
    "citations": lambda part, value: at("citations", partial(read_citations, part), value),
    "logprobs": skip,  # of an answer that has been given
}
_PARTS: dict[str, tuple[Readers, str]] = {
    "input_text": (_TEXT, "text"),
    "output_text": (_TEXT, "text"),
    "summary_text": (_TEXT, "text"),
    "refusal": ({**_ANY, "refusal": into("refusal", str)}, "refusal"),
    "input_image": (
        {
            **_ANY,
            "image_url": under("image", into("url", str)),
            "file_id": under("image", into("file_id", str)),
            "detail": under("image", into("detail", str)),
        },
        "image_url",
    ),
    "input_file": (
        {
            **_ANY,
            "file_data": under("file", read_file_data),
            "file_id": under("file", read_file_id),
            "file_url": under("file", read_file_url),
            "filename": under("file", into("filename", str)),
        },
        "file_data",
    ),
    "input_audio": ({**_ANY, "input_audio": read_audio}, "input_audio"),
}
