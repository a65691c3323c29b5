"""What an answer is taken from, in Cohere's JSON and back.

Cohere says which of the answer's characters are cited, and from which documents or tools' answers: those stand whole in
`sources`, of which the first gives the citation its type, title and URL.
"""

from __future__ import annotations

import re
from typing import Any

from services.providers.domain.json_objects import Json, encode_json, json_object
from tollway.chat.v1 import chat_pb2

_NUMBERED = re.compile(r"doc:(\d{1,6})")
"""The id of a document that was given none: its place among the documents."""


def keep_citation(said: Json, into: chat_pb2.Citation) -> None:
    """Fills in the citation; what has no place in it stays beside it. Takes `said` apart."""
    for name, field in (("start", "answer_start"), ("end", "answer_end")):
        if (value := said.pop(name, None)) is not None:
            setattr(into, field, value)
    sources = said.get("sources")
    if sources:
        _describe(sources[0], into)
    if said:
        into.extra_json = encode_json(said)


def _describe(source: Json, into: chat_pb2.Citation) -> None:
    into.type = source.get("type") or ""
    if numbered := _NUMBERED.fullmatch(source.get("id") or ""):
        into.document_index = int(numbered[1])
    document: dict[str, Any] = source.get("document") or {}
    into.title = _text(document.get("title"))
    into.url = _text(document.get("url"))
    into.cited_text = _text(document.get("snippet") or document.get("text"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def citation_json(citation: chat_pb2.Citation, place: int, path: str) -> Json:
    """A citation of an earlier answer. `place` is its part's among the parts."""
    said: Json = {"content_index": place, **json_object(citation.extra_json, f"{path}.extra_json")}
    for name, field in (("start", "answer_start"), ("end", "answer_end")):
        given = {each.name: value for each, value in citation.ListFields()}
        if field in given:
            said[name] = given[field]
    return said
