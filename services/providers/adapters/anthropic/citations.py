"""Where something that was said comes from: Anthropic's citations, both ways.

Documents are cited by characters (plain text), pages (PDF) or content blocks, search results by blocks, and what the
server's own web search found by an encrypted index.
"""

from __future__ import annotations

from typing import Any

from services.providers.adapters.anthropic.extra import Telling, lay_over
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_PLACES = {
    "char_location": ("start_char_index", "end_char_index"),
    "page_location": ("start_page_number", "end_page_number"),
    "content_block_location": ("start_block_index", "end_block_index"),
    "search_result_location": ("start_block_index", "end_block_index"),
}
_PROOFS = {"web_search_result_location": "encrypted_index", "search_result_location": "search_result_index"}
"""What a citation of that type is nothing without, and what only `extra_json` has a place for."""
_OF_DOCUMENTS = frozenset({"char_location", "page_location", "content_block_location"})


def read_citation(citation: Json, into: chat_pb2.Citation) -> None:
    """Takes the citation apart. A search result's `source` is its URL; what has no place is kept as it is."""
    kind = into.type = citation.pop("type")
    into.cited_text = citation.pop("cited_text", None) or ""
    into.url = citation.pop("source" if kind == "search_result_location" else "url", None) or ""
    into.title = citation.pop("document_title" if kind in _OF_DOCUMENTS else "title", None) or ""
    if (document := citation.pop("document_index", None)) is not None:
        into.document_index = document
    start, end = _PLACES.get(kind, ("", ""))
    if start in citation:
        into.source_start = citation.pop(start)
    if end in citation:
        into.source_end = citation.pop(end)
    left = {name: value for name, value in citation.items() if value is not None}
    if left:
        into.extra_json = encode_json(left)


def citations_told(citations: Any, path: str, telling: Telling) -> list[Json]:
    """What can be told of a text's citations. Those of another provider stand for themselves in the text."""
    told = []
    for i, citation in enumerate(citations):
        place = f"{path}.citations[{i}]"
        said = lay_over(_citation(citation), citation.extra_json, place, telling)
        # A kind that is new has fields that only extra ones are a place for.
        known = citation.type in _PLACES or citation.type in _PROOFS or (telling.own and citation.extra_json)
        if known and _PROOFS.get(citation.type, "type") in said:
            told.append(said)
        else:
            telling.unsaid.leave_out(place)
    return told


def _citation(citation: chat_pb2.Citation) -> Json:
    kind = citation.type
    said: Json = {"type": kind}
    if citation.cited_text or kind in _PLACES or kind in _PROOFS:
        said["cited_text"] = citation.cited_text
    if kind in _OF_DOCUMENTS:
        said["document_index"] = citation.document_index
        said["document_title"] = citation.title or None
    elif citation.title or kind in _PROOFS:
        said["title"] = citation.title or None
    if citation.url:
        said["source" if kind == "search_result_location" else "url"] = citation.url
    if kind in _PLACES:
        start, end = _PLACES[kind]
        said[start], said[end] = citation.source_start, citation.source_end
    return said
