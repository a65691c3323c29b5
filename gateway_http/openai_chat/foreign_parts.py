"""What another dialect says of the parts of an answer, in chat completions: `content_parts`.

A message's parts are joined there, so each entry says which part it was of: `{"part": 2, "anthropic": {...}}` is a part
that only its dialect can describe, and `{"part": 0, "of": "text", "anthropic": {...}}` what a text had beside it.
"""

from __future__ import annotations

from typing import Any

from gateway_http.field_reading import encode_json
from gateway_http.json_output import decode_json
from tollway.chat.v1 import chat_pb2 as pb


def foreign_part(place: int, part: pb.ContentPart, dialect: str) -> dict[str, Any]:
    kind = part.WhichOneof("part")
    of = {"of": kind} if kind else {}
    return {"part": place, **of, dialect: decode_json(part.extra_json)}


def take_parts(message: pb.Message, fields: dict[str, Any]) -> None:
    """Puts what an earlier answer said so back where it was. Entries that are not of this kind stay in the fields."""
    given = fields.get("content_parts")
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        return
    parts = list(message.content)
    left = [entry for entry in given if not _put(parts, entry)]
    del message.content[:]
    message.content.extend(parts)
    if left:
        fields["content_parts"] = left
    else:
        del fields["content_parts"]


def _put(parts: list[pb.ContentPart], entry: dict[str, Any]) -> bool:
    place, kind = entry.get("part"), entry.get("of")
    said = {name: value for name, value in entry.items() if name not in ("part", "of", "index")}
    if type(place) is not int or not said or not all(isinstance(value, dict) for value in said.values()):
        return False
    if kind is None:
        parts.insert(max(place, 0), pb.ContentPart(extra_json=encode_json(said)))
        return True
    of = next((part for part in parts if part.WhichOneof("part") == kind), None)
    if of is None:
        return False
    of.extra_json = encode_json({**said, **(decode_json(of.extra_json) if of.extra_json else {})})
    return True
