"""What a text is taken from, in chat completions: `annotations`, and `citations` for what OpenAI's cannot say.

OpenAI knows one kind of annotation: `{"type": "url_citation", "url_citation": {url, title, start_index, end_index}}`,
about characters of the answer; OpenRouter adds the words of the source as `content`. What is quoted from a document of
the question has no place there, and stands beside, in the words of `tollway.chat.v1`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from gateway_http.field_reading import (
    Readers,
    a,
    at,
    here,
    into,
    json_of,
    read_each,
    read_fields,
    skip,
    whole_number_into,
)
from gateway_http.foreign import put_extra
from gateway_http.openai_chat.reasoning import OWN
from tollway.chat.v1 import chat_pb2 as pb

_URL = "url_citation"


def take_citations(message: pb.Message, fields: dict[str, Any]) -> None:
    """Takes what an earlier answer's text is taken from out of a message's fields. Without a text it stays there."""
    texts = [part for part in message.content if part.WhichOneof("part") == "text"]
    for name, read in (("annotations", _read_annotations), ("citations", read_citations)):
        given = fields.get(name)
        if given == []:
            del fields[name]
        elif texts and isinstance(given, list) and all(isinstance(item, dict) for item in given):
            at(name, partial(read, texts[-1]), given)
            del fields[name]


def _read_annotations(text: pb.ContentPart, value: Any) -> None:
    read_each(partial(_read, _ANNOTATION, text), value)


def read_citations(text: pb.ContentPart, value: Any) -> None:
    """What a text is taken from, in the words of `tollway.chat.v1`."""
    read_each(partial(_read, _CITATION, text), value)


def _read(readers: Readers, text: pb.ContentPart, value: Any) -> None:
    citation = text.citations.add()
    citation.extra_json = json_of(read_fields(readers, citation, a(dict, value)))


def _outer_type(citation: pb.Citation, value: Any) -> None:
    citation.type = citation.type or a(str, value)


_ANNOTATION: Readers = {
    "type": _outer_type,
    "index": skip,
    _URL: here(
        {
            "type": into("type", str),
            "url": into("url", str),
            "title": into("title", str),
            "content": into("cited_text", str),
            "start_index": whole_number_into("answer_start", 64),
            "end_index": whole_number_into("answer_end", 64),
        }
    ),
}

_TEXTS = ("type", "url", "title", "cited_text")
_PLACES = ("source_start", "source_end", "answer_start", "answer_end")
_ANSWERS = {"answer_start", "answer_end"}
_CITATION: Readers = {
    **{name: into(name, str) for name in _TEXTS},
    "document_index": whole_number_into("document_index", 32),
    **{name: whole_number_into(name, 64) for name in _PLACES},
    "index": skip,
}


class Sources:
    """What the text of one choice is taken from, as a stream tells it: the places in a part become places in all of it.

    A citation that does not say which characters it is about waits for the end, since some come before their text.
    """

    def __init__(self) -> None:
        self.said = 0
        """Characters of the choice's text so far."""
        self._begins = {0: 0}
        """Before how many of them the text of each part begins."""
        self._waiting: list[tuple[int, pb.Citation]] = []

    def hear(self, part: int, text: str) -> None:
        self._begins.setdefault(part, self.said)
        self.said += len(text)

    def told(self, citations: Iterable[pb.Citation], part: int, dialect: str) -> dict[str, list[Any]]:
        """As `citations_json`, of those that can be told now."""
        placed: list[pb.Citation] = []
        for citation in citations:
            if citation.url and not (citation.HasField("answer_start") and citation.HasField("answer_end")):
                self._waiting.append((part, citation))
            else:
                placed.append(citation)
        return citations_json(placed, self._begins.get(part, self.said), self.said, dialect)

    def rest(self, dialect: str) -> dict[str, list[Any]]:
        """As `citations_json`, of those that waited."""
        said: dict[str, list[Any]] = {}
        for part, citation in self._waiting:
            begin = self._begins.get(part, self.said)
            end = min((begins for later, begins in self._begins.items() if later > part), default=self.said)
            for name, entries in citations_json([citation], begin, end, dialect).items():
                said.setdefault(name, []).extend(entries)
        self._waiting.clear()
        return said


def citations_json(citations: Iterable[pb.Citation], start: int, end: int, dialect: str) -> dict[str, list[Any]]:
    """The fields of a message that say what its text is taken from; none where nothing is.

    `start` and `end` are the characters of the message's text that the part is which they belong to: a citation that
    does not say which it is about is about all of them.
    """
    said: dict[str, list[Any]] = {}
    for citation in citations:
        if citation.url:
            entry = _annotation(citation, start, end)
            said.setdefault("annotations", []).append(entry)
        else:
            entry = citation_json(citation)
            for name in entry.keys() & _ANSWERS:
                entry[name] += start
            said.setdefault("citations", []).append(entry)
        put_extra(entry, citation.extra_json, dialect, OWN)
    return said


def _annotation(citation: pb.Citation, start: int, end: int) -> dict[str, Any]:
    of: dict[str, Any] = {
        "url": citation.url,
        "title": citation.title,
        "start_index": start + citation.answer_start,
        "end_index": start + citation.answer_end if citation.HasField("answer_end") else end,
    }
    if citation.cited_text:
        of["content"] = citation.cited_text
    if citation.type not in ("", _URL):
        of["type"] = citation.type
    return {"type": _URL, _URL: of}


def citation_json(citation: pb.Citation) -> dict[str, Any]:
    return {field.name: value for field, value in citation.ListFields() if field.name != "extra_json"}
