"""Thinking, and what proves it: fields of a message, which compatible servers have and OpenAI's own does not.

The text stands in `reasoning_content` (or `reasoning`); proofs stand in `reasoning_details`, as OpenRouter documents
it: `{"type": "reasoning.text", "text", "signature"}` and `{"type": "reasoning.encrypted", "data"}`. Mistral has
thinking among a message's parts: `{"type": "thinking", "thinking": [{"type": "text", "text"}], "closed"}`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai.seals import PROOFS, beside, opened, sealed
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

DIALECT = "openai"
"""Who issued a proof that was read here."""
_TEXT, _SUMMARY, _ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"
_KNOWN = {_TEXT: ("text", "signature"), _SUMMARY: ("summary",), _ENCRYPTED: ("data",)}


def put_thinking(part: chat_pb2.ContentPart, said: Json, asked: Asked, path: str) -> None:
    """Says earlier thinking again: the text where the server has a field for it, a proof to whom it came from."""
    thinking, quirks = part.reasoning, asked.quirks
    proven = bool(thinking.signature or thinking.redacted)
    if (proven and thinking.issuer not in ("", DIALECT)) or not (quirks.reasoning_field or quirks.reasoning_details):
        asked.unsaid.leave_out(path)
        return
    if quirks.reasoning_field and thinking.text:
        said[quirks.reasoning_field] = said.get(quirks.reasoning_field, "") + thinking.text
    if quirks.reasoning_details or (proven and thinking.issuer == DIALECT):
        details = said.setdefault("reasoning_details", [])
        details.append(_detail(part, asked, path, len(details)))
    elif proven:
        asked.unsaid.leave_out(path if not thinking.text else f"{path}.reasoning.signature")


def thinking_part(part: chat_pb2.ContentPart, asked: Asked, path: str) -> list[Json]:
    """Earlier thinking as a part of its message, which holds its text alone; none where that is not to be told."""
    thinking = part.reasoning
    if not thinking.text or thinking.issuer not in ("", DIALECT):
        asked.unsaid.leave_out(path)
        return []
    if thinking.signature or thinking.redacted:
        asked.unsaid.leave_out(f"{path}.reasoning.signature")
    if part.extra_json:
        asked.unsaid.leave_out(f"{path}.extra_json")
    return [{"type": "thinking", "thinking": [{"type": "text", "text": thinking.text}]}]


def words_of(part: Any) -> str | None:
    """What is thought in a part of an answer; None in a part that is of another kind, or says more."""
    match part:
        case {"type": "thinking", "thinking": list() as thoughts, **rest} if rest in ({}, {"closed": True}):
            if all(map(_is_thought, thoughts)):
                return "".join(thought["text"] for thought in thoughts)
    return None


def _is_thought(thought: Any) -> bool:
    match thought:
        case {"type": "text", "text": str(), **rest}:
            return not rest
    return False


def _detail(part: chat_pb2.ContentPart, asked: Asked, path: str, place: int) -> Json:
    """The part's thinking with its proof, at that place among the message's details."""
    thinking = part.reasoning
    signature, of_text = opened(thinking.signature)
    data, of_data = opened(thinking.redacted.decode())
    detail: Json = {"type": _ENCRYPTED if data else _TEXT}
    if thinking.text or signature:
        detail["text"] = thinking.text
    if signature:
        detail["signature"] = signature
    if data:
        detail["data"] = data
    bare = len(detail)
    detail |= of_text | of_data
    asked.lay_over(detail, part, path)
    if detail["type"] == _SUMMARY:
        detail["summary"] = detail.pop("text", "")
    if len(detail) > bare:  # whoever says more of a detail numbers it, too
        detail.setdefault("index", place)
    return detail


def take_text(said: Json) -> str:
    """Takes out the thinking, under either of the names that servers have for it; a second, different one stays."""
    text = said.get("reasoning_content") or said.get("reasoning")
    if not isinstance(text, str):
        text = ""
    for name in ("reasoning_content", "reasoning"):
        if said.get(name, "") in (None, "", text):
            said.pop(name, None)
    return text


def take_thinking(message: Json, into: chat_pb2.Message) -> None:
    """Takes the thinking out of an answer's message, each proof with the text it proves."""
    text, details = take_text(message), _details_in(message)
    if details is None:
        if text:
            into.content.add().reasoning.text = text
        return
    del message["reasoning_details"]
    if text and text != "".join(map(_words, details)):
        into.content.add().reasoning.text = text
    for place, detail in enumerate(details):
        part = into.content.add()
        _read(detail, part.reasoning)
        if rest := _rest(detail, place):
            part.extra_json = encode_json(rest)


def _rest(detail: Json, place: int) -> Json:
    """What of a detail has no place; its number has, where it says no more than its place.

    A proof that more belongs to is there as it came, too, for clients who are shown all of it.
    """
    known = _KNOWN[detail["type"]] if detail["type"] == _SUMMARY else ("type", *_KNOWN[detail["type"]])
    if beside(detail):
        known = tuple(name for name in known if name not in PROOFS or not detail.get(name))
    return {name: value for name, value in detail.items() if name not in known and (name, value) != ("index", place)}


class Piece(NamedTuple):
    """Of thinking: what is read of it, and the detail that it is read from, if it is."""

    thought: chat_pb2.ReasoningPart
    detail: Json | None


def take_pieces(delta: Json) -> list[Piece]:
    """Takes the thinking out of a piece of an answer that has details: each proof with its text, if that is here, too.

    Their pieces are joined by their numbers, so each of them is needed as it came. Where a kind is not known, they stay
    where they are.
    """
    text, details = take_text(delta), _details_in(delta)
    first = [Piece(chat_pb2.ReasoningPart(text=text), None)] if text else []
    if details is None:
        return first
    del delta["reasoning_details"]
    pieces = []
    for detail in details:
        pieces.append(piece := Piece(chat_pb2.ReasoningPart(), detail))
        _read(detail, piece.thought)
    if text and text != "".join(piece.thought.text for piece in pieces):  # they say something else, or nothing
        pieces = first + pieces
    return pieces


def _read(detail: Json, into: chat_pb2.ReasoningPart) -> None:
    into.text = _words(detail)
    into.signature = sealed(detail.get("signature") or "", detail)
    into.redacted = sealed(detail.get("data") or "", detail).encode() if detail["type"] == _ENCRYPTED else b""
    if into.signature or into.redacted:
        into.issuer = DIALECT


def _words(detail: Json) -> str:
    return detail.get("text" if detail["type"] == _TEXT else "summary") or ""


def _details_in(said: Json) -> list[Json] | None:
    """The details of thinking; None where there are none, or any of a kind that is not known."""
    details = said.get("reasoning_details")
    return details if isinstance(details, list) and all(map(_is_known, details)) else None


def _is_known(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and each.get("type") in _KNOWN
        and all(isinstance(each.get(name), str | None) for name in _KNOWN[each["type"]])
    )
