"""What an answer's text is taken from: the annotations of its message."""

from __future__ import annotations

from typing import Any

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


def take_citations(said: Json, into: Any) -> None:
    """Takes out the annotations that say where a text comes from, if they do in OpenAI's shape."""
    annotations = said.get("annotations")
    if annotations and isinstance(annotations, list) and all(map(_is_citation, annotations)):
        del said["annotations"]
        for annotation in annotations:
            _citation(annotation, into.add())


def _is_citation(annotation: Any) -> bool:
    match annotation:
        case {"type": "url_citation", "url_citation": {"url": str(), **rest}}:
            texts = (rest.get("title", ""), rest.get("content", ""))
            places = (rest.get("start_index", 0), rest.get("end_index", 0))
            return all(type(each) is str for each in texts) and all(type(each) is int for each in places)
    return False


def _citation(annotation: Json, into: chat_pb2.Citation) -> None:
    into.type = annotation.pop("type")
    about = annotation.pop(into.type)
    into.url, into.title, into.cited_text = about.pop("url"), about.pop("title", ""), about.pop("content", "")
    for name, field in (("start_index", "answer_start"), ("end_index", "answer_end")):
        if name in about:
            setattr(into, field, about.pop(name))
    if about:
        annotation[into.type] = about
    if annotation:
        into.extra_json = encode_json(annotation)
