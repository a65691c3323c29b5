"""What an answer is taken from, in Converse's JSON and back.

Where in a source is said in the words that Claude's own API has for it (`char_location`, …): it is Claude who cites
here, and whoever asked in its dialect understands them.
"""

from __future__ import annotations

from services.providers.domain.json_objects import Json, encode_json
from services.providers.domain.own_words import OwnWords
from tollway.chat.v1 import chat_pb2

_PLACES = {
    "documentChar": "char_location",
    "documentPage": "page_location",
    "documentChunk": "content_block_location",
    "searchResultLocation": "search_result_location",
    "web": "url_citation",
}
_PLACES_BACK = {name: place for place, name in _PLACES.items()} | {"web_search_result_location": "web"}
_INDEX = {"searchResultLocation": "searchResultIndex"}


def keep_citation(said: Json, into: chat_pb2.Citation) -> None:
    """Fills in the citation; what has no place in it stays beside it. Takes `said` apart."""
    into.title = said.pop("title", None) or ""
    source = said.pop("sourceContent", None) or ()
    into.cited_text = "".join(each.get("text") or "" for each in source)
    if rest := _keep_location(said.pop("location", None) or {}, into):
        said["location"] = rest
    if said:
        into.extra_json = encode_json(said)


def _keep_location(location: Json, into: chat_pb2.Citation) -> Json:
    """Fills in where it is, and returns what of that has no place."""
    place, where = next(iter(location.items()), ("", {}))
    if place not in _PLACES or not isinstance(where, dict):
        return location
    into.type = _PLACES[place]
    into.url = where.pop("url", None) or ""
    fields = {_INDEX.get(place, "documentIndex"): "document_index", "start": "source_start", "end": "source_end"}
    for name, field in fields.items():
        if (value := where.pop(name, None)) is not None:
            setattr(into, field, value)
    return {place: where} if where else {}


def citation_json(citation: chat_pb2.Citation, path: str, words: OwnWords) -> Json:
    """A citation of an earlier answer, as Converse takes it back. A place of another kind has no word there."""
    said: Json = {}
    if citation.title:
        said["title"] = citation.title
    if citation.cited_text:
        said["sourceContent"] = [{"text": citation.cited_text}]
    if (place := _PLACES_BACK.get(citation.type)) is not None:
        said["location"] = {place: _location(citation, place)}
    return words.lay_over(said, citation.extra_json, path)


def _location(citation: chat_pb2.Citation, place: str) -> Json:
    if place == "web":
        return {"url": citation.url}
    fields = {_INDEX.get(place, "documentIndex"): "document_index", "start": "source_start", "end": "source_end"}
    given = {field.name: value for field, value in citation.ListFields()}
    return {name: given[field] for name, field in fields.items() if field in given}
