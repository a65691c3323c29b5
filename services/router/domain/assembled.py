"""A whole answer out of a streamed one, for a client that asked for a whole one of a call that has to be heard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from services.router.domain.answer import Answer, merge
from tollway.chat.v1.chat_pb2 import ROLE_ASSISTANT, ChatChunk, ChatResponse, Choice, Delta, ToolCall


class Assembled(Answer):
    """A streamed answer of which nothing goes out before it is whole, so that another can always take its place."""

    __slots__ = ()

    @property
    def committed(self) -> bool:
        return False


def assembled(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """The answer that these are the pieces of, in order: as its provider would have given it whole."""
    envelope = ChatChunk()
    choices: dict[int, _Choice] = {}
    for chunk in chunks:
        for delta in chunk.deltas:
            index = delta.index
            if index not in choices:
                choices[index] = _Choice(index)
            choices[index].add(delta)
        rest = ChatChunk()
        rest.CopyFrom(chunk)
        rest.ClearField("deltas")
        merge(envelope, rest)
    response = ChatResponse(
        id=envelope.id,
        model=envelope.model,
        service_tier=envelope.service_tier,
        system_fingerprint=envelope.system_fingerprint,
        extra_json=envelope.extra_json,
        choices=[choices[index].whole() for index in sorted(choices)],
    )
    if envelope.HasField("create_time"):
        response.create_time.CopyFrom(envelope.create_time)
    if envelope.HasField("usage"):
        response.usage.CopyFrom(envelope.usage)
    return response


class _Choice:
    """One of the answers, as far as it is here."""

    def __init__(self, index: int) -> None:
        self._choice = Choice(index=index)
        self._choice.message.role = ROLE_ASSISTANT
        self._texts: dict[str, list[str]] = {"reasoning": [], "text": [], "refusal": []}
        self._signature, self._redacted = "", b""
        self._calls: dict[int, ToolCall] = {}
        self._extra: dict[str, Any] = {}
        self._beside: dict[str, Any] = {}

    def add(self, delta: Delta) -> None:
        if delta.role:
            self._choice.message.role = delta.role
        if delta.text:
            self._texts["text"].append(delta.text)
        if delta.refusal:
            self._texts["refusal"].append(delta.refusal)
        if delta.HasField("reasoning"):
            self._texts["reasoning"].append(delta.reasoning.text)
            self._signature = delta.reasoning.signature or self._signature
            self._redacted += delta.reasoning.redacted
        for call in delta.tool_calls:
            known = self._calls.setdefault(call.index, ToolCall())
            known.id, known.type = call.id or known.id, call.type or known.type
            known.name += call.name
            known.arguments += call.arguments
            known.extra_json = _joined(known.extra_json, call.extra_json)
        if delta.finish_reason:
            self._choice.finish_reason = delta.finish_reason
            self._choice.native_finish_reason = delta.native_finish_reason
        if delta.HasField("logprobs"):
            self._choice.logprobs.MergeFrom(delta.logprobs)
        if delta.extra_json:
            _accumulate(self._extra, orjson.loads(delta.extra_json))
        if delta.choice_extra_json:
            self._beside.update(orjson.loads(delta.choice_extra_json))  # told of the choice, and no piece of it

    def whole(self) -> Choice:
        message = self._choice.message
        if self._texts["reasoning"]:
            thinking = message.content.add().reasoning
            thinking.text = "".join(self._texts["reasoning"])
            thinking.signature, thinking.redacted = self._signature, self._redacted
        said, refused = "".join(self._texts["text"]), "".join(self._texts["refusal"])
        if said or not (self._calls or refused):
            message.content.add().text = said
        if refused:
            message.content.add().refusal = refused
        message.tool_calls.extend(self._calls[index] for index in sorted(self._calls))
        if self._extra:
            message.extra_json = orjson.dumps(self._extra)
        if self._beside:
            self._choice.extra_json = orjson.dumps(self._beside)
        return self._choice


def _joined(earlier: bytes, later: bytes) -> bytes:
    if not earlier or not later:
        return earlier or later
    both: dict[str, Any] = orjson.loads(earlier)
    _accumulate(both, orjson.loads(later))
    return orjson.dumps(both)


_REPEATED = frozenset({"index", "type", "id", "format"})
"""Names of values that are told again with each piece, and are no pieces themselves."""


def _accumulate(into: dict[str, Any], piece: dict[str, Any]) -> None:
    """Adds a piece to what was there before: texts and lists go on, except what is told again as it was."""
    for name, value in piece.items():
        before = into.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            _accumulate(before, value)
        elif isinstance(before, str) and isinstance(value, str) and name not in _REPEATED:
            into[name] = before + value
        elif isinstance(before, list) and isinstance(value, list):
            _extend(before, value)
        elif value is not None or name not in into:
            into[name] = value


def _extend(before: list[Any], pieces: list[Any]) -> None:
    """Entries that have an index are pieces of the entry with the same one."""
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, dict) else None
        same = next((entry for entry in before if isinstance(entry, dict) and entry.get("index") == index), None)
        if index is None or same is None:
            before.append(piece)
        else:
            _accumulate(same, piece)
