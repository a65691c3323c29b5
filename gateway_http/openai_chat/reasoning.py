"""Thinking in chat completions: its text as `reasoning_content`, and with its proofs as `reasoning_details`.

OpenAI's own API shows no thinking. Compatible servers show the text as `reasoning_content` (some as `reasoning`), and
OpenRouter each piece of it with its proof: `{"type": "reasoning.text", "text", "signature"}` and
`{"type": "reasoning.encrypted", "data"}`, and `{"type": "reasoning.summary", "summary"}`, which proves nothing. In a
stream each has an `index`, and pieces with the same one are joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from gateway_http.field_reading import Readers, a, at, into, json_of, keep, read_each, read_fields, skip
from gateway_http.foreign import put_extra, read_proof, write_proof
from gateway_http.json_output import decode_json
from tollway.chat.v1 import chat_pb2 as pb

OWN = "openai"
"""The dialect, as issuers and extra fields name it."""

_NAMES = ("reasoning_content", "reasoning")
_SUMMARY = "reasoning.summary"
_KNOWN = ("reasoning.text", "reasoning.encrypted", _SUMMARY)


def take_reasoning(message: pb.Message, fields: dict[str, Any]) -> None:
    """Takes an earlier answer's thinking out of a message's fields.

    The details say what the text says, and more: it counts only where they hold no text. Where there is a kind of
    detail among them that is not known, they are left where they stand, whole.
    """
    text, details = _take_text(fields), _take_details(fields)
    if text and not any(part.reasoning.text for part in details):
        message.content.add().reasoning.text = text
    message.content.extend(details)


def _take_text(fields: dict[str, Any]) -> str:
    """Under either name; a second, different text is left where it stands."""
    given = {name: at(name, partial(a, str), fields[name]) for name in _NAMES if fields.get(name) is not None}
    text: str = next(iter(given.values()), "")
    for name in _NAMES:
        if given.get(name, text) == text:
            fields.pop(name, None)
    return text


def _take_details(fields: dict[str, Any]) -> list[pb.ContentPart]:
    parts: list[pb.ContentPart] = []
    details = fields.get("reasoning_details") or []
    at("reasoning_details", partial(read_each, lambda detail: parts.append(_detail(detail, len(parts)))), details)
    if not all(detail.get("type") in _KNOWN for detail in details):
        return []
    fields.pop("reasoning_details", None)
    return parts


def _detail(value: Any, place: int) -> pb.ContentPart:
    """Its number is kept with what else its provider said of it, where it says more than its place."""
    part = pb.ContentPart()
    part.reasoning.SetInParent()
    left = read_fields(_DETAIL, part.reasoning, a(dict, value)) or {}
    if value.get("type") == _SUMMARY:
        left["type"] = _SUMMARY
    if left and value.get("index", place) != place:
        left["index"] = value["index"]
    part.extra_json = json_of(left)
    return part


def _signature(reasoning: pb.ReasoningPart, value: Any) -> None:
    reasoning.issuer, reasoning.signature = read_proof(a(str, value), OWN)


def _data(reasoning: pb.ReasoningPart, value: Any) -> None:
    reasoning.issuer, proof = read_proof(a(str, value), OWN)
    reasoning.redacted = proof.encode()


_DETAIL: Readers = {
    "type": skip,
    "index": skip,
    "text": into("text", str),
    "summary": into("text", str),
    "signature": _signature,
    "data": _data,
    "id": keep,
    "format": keep,
}


def add_reasoning(message: dict[str, Any], parts: Iterable[pb.ContentPart], dialect: str) -> None:
    """Adds an answer's thinking to its message: the text, and the details where they say more than it."""
    thinking = [part for part in parts if part.HasField("reasoning")]
    if not thinking:
        return
    message["reasoning_content"] = "".join(part.reasoning.text for part in thinking)
    if any(part.extra_json or proven(part.reasoning) for part in thinking):
        message["reasoning_details"] = details = []
        for index, part in enumerate(thinking):
            detail = _detail_json(index, part.reasoning.text, part.reasoning)
            if dialect in ("", OWN) and _SUMMARY.encode() in part.extra_json:
                detail = {"type": _SUMMARY, "index": index, "summary": part.reasoning.text}
            if part.extra_json and dialect in ("", OWN):
                detail |= decode_json(part.extra_json)  # which has the proof as its issuer gave it
            else:
                put_extra(detail, part.extra_json, dialect, OWN)
            details.append(detail)


def told_in_details(extra_json: bytes, dialect: str) -> bool:
    """Whether a provider of this dialect told the thinking in details of its own, which are not to be made again."""
    return dialect in ("", OWN) and b'"reasoning_details"' in extra_json


def proven(reasoning: pb.ReasoningPart) -> bool:
    return bool(reasoning.signature or reasoning.redacted)


def _detail_json(index: int, text: str, proof: pb.ReasoningPart) -> dict[str, Any]:
    detail: dict[str, Any] = {"type": "reasoning.text", "index": index, "text": text}
    if proof.redacted:
        detail["type"] = "reasoning.encrypted"
        detail["data"] = write_proof(proof.issuer, proof.redacted.decode("utf-8", "replace"), OWN)
        if not text:
            del detail["text"]
    if proof.signature:
        detail["signature"] = write_proof(proof.issuer, proof.signature, OWN)
    return detail


class Details:
    """The details of one choice in a stream. A proof comes last, and its detail with it: text alone needs none."""

    def __init__(self) -> None:
        self._untold: dict[int, list[str]] = {}
        self._told = 0

    def hear(self, part: int, reasoning: pb.ReasoningPart) -> list[dict[str, Any]]:
        """Takes in what is thought in that part of the answer, and says what is complete by it."""
        if reasoning.text:
            self._untold.setdefault(part, []).append(reasoning.text)
        if not proven(reasoning):
            return []
        text = "".join(self._untold.pop(part, ()))
        return [*self._plain(), self._next(text, reasoning)]

    def rest(self) -> list[dict[str, Any]]:
        """What has not been told, at the choice's end, where some of its thinking has been."""
        return self._plain() if self._told else []

    def _plain(self) -> list[dict[str, Any]]:
        texts, self._untold = self._untold, {}
        return [self._next("".join(pieces), pb.ReasoningPart()) for pieces in texts.values()]

    def _next(self, text: str, proof: pb.ReasoningPart) -> dict[str, Any]:
        self._told += 1
        return _detail_json(self._told - 1, text, proof)
