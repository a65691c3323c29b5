"""Where a text comes from, in Anthropic's words and back.

Source: Anthropic's Messages API, the citations of a text block. A citation of another provider's kind (OpenAI's
`url_citation`) is written as the kind nearest to it, a web search's result, whose `encrypted_index` is empty: by that
it is known again when the client sends it back.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from gateway_http.field_reading import Readers, a, into, json_of, read_fields, skip, whole_number_into
from gateway_http.foreign import put_extra
from tollway.chat.v1 import chat_pb2 as pb

_WEB = "web_search_result_location"
_FOREIGN = "url_citation"

_TITLED = {"document_title": "title", "document_index": "document_index"}
_KINDS: dict[str, dict[str, str]] = {
    "char_location": {**_TITLED, "start_char_index": "source_start", "end_char_index": "source_end"},
    "page_location": {**_TITLED, "start_page_number": "source_start", "end_page_number": "source_end"},
    "content_block_location": {**_TITLED, "start_block_index": "source_start", "end_block_index": "source_end"},
    _WEB: {"title": "title", "url": "url"},
    "search_result_location": {
        "title": "title",
        "source": "url",
        "start_block_index": "source_start",
        "end_block_index": "source_end",
    },
}
"""For each kind: what Anthropic calls the fields of `Citation`."""
_Place = Literal["document_index", "source_start", "source_end"]
_BITS: dict[str, int] = {"document_index": 32, "source_start": 64, "source_end": 64}
"""The whole numbers among them."""


def _readers(names: dict[str, str]) -> Readers:
    known = {
        name: whole_number_into(place, _BITS[place]) if place in _BITS else into(place, str)
        for name, place in names.items()
    }
    return {"type": into("type", str), "cited_text": into("cited_text", str), **known}


_READERS = {kind: _readers(names) for kind, names in _KINDS.items()}
_OTHER: Readers = {"type": into("type", str), "cited_text": into("cited_text", str)}
PLACES: dict[str, Literal["answer_start", "answer_end"]] = {
    "answer_start_index": "answer_start",
    "answer_end_index": "answer_end",
}
"""What says which characters of a block a citation of another provider's is about."""
_ECHOED: Readers = {
    **_READERS[_WEB],
    "encrypted_index": skip,
    **{name: whole_number_into(place, 64) for name, place in PLACES.items()},
}


def read_citation(citation: pb.Citation, value: Any) -> None:
    """Puts one citation of a text block into its message. What has no place there is kept beside."""
    fields = a(dict, value)
    kind = fields.get("type")
    if kind == _WEB and fields.get("encrypted_index") == "":
        read_fields(_ECHOED, citation, fields)  # what another provider said beside it means nothing to this dialect
        citation.type = _FOREIGN
        return
    citation.extra_json = json_of(read_fields(_READERS.get(kind, _OTHER), citation, fields))


def citation_json(citation: pb.Citation, dialect: str) -> dict[str, Any]:
    """A citation of an answer in that dialect, in Anthropic's words."""
    if citation.type not in _KINDS and dialect != "anthropic":
        return _foreign(citation, dialect)
    result: dict[str, Any] = {"type": citation.type, "cited_text": citation.cited_text}
    for name, place in _KINDS.get(citation.type, {}).items():
        if place not in _BITS:
            result[name] = getattr(citation, place) or None
        elif citation.HasField(cast(_Place, place)):
            result[name] = getattr(citation, place)
    put_extra(result, citation.extra_json, dialect, "anthropic")
    return result


def _foreign(citation: pb.Citation, dialect: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": _WEB,
        "cited_text": citation.cited_text,
        "title": citation.title or None,
        "url": citation.url,
        "encrypted_index": "",
    }
    for name, place in PLACES.items():
        if citation.HasField(place):
            result[name] = getattr(citation, place)
    put_extra(result, citation.extra_json, dialect, "anthropic")
    return result
