"""What a streamed response says, put into the chunk that leaves next."""

from __future__ import annotations

from typing import Any

from services.providers.adapters.openai.logprobs import keep_logprobs
from services.providers.adapters.openai_responses.items import DIALECT
from services.providers.adapters.openai_responses.output import keep_citation
from services.providers.adapters.openai_responses.response import identify, remaining
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

Place = tuple[int, int]
"""An item's place in the response, and a part's in the item."""
_TEXT_ALONE = {"text", "part", "role"}


class Telling:
    """Numbers the parts of an answer as they come, and remembers how much of each was told."""

    def __init__(self) -> None:
        self.content_seen = False
        self._chunk = chat_pb2.ChatChunk()
        self._extra: Json = {}
        self._named: Json = {}
        self._begun = self._role_told = False
        self._parts: dict[Place, int] = {}
        self._heard: dict[Place, int] = {}
        self._cited: dict[Place, int] = {}

    def take(self) -> list[chat_pb2.ChatChunk]:
        """The chunk, if there is anything in it, and a new one begins."""
        chunk = self._chunk
        if self._extra:
            chunk.extra_json = encode_json(self._extra)
            self._extra = {}
        if not chunk.ByteSize():
            return []
        if not self._begun:
            self._begun, chunk.dialect = True, DIALECT
        self._chunk = chat_pb2.ChatChunk()
        return [chunk]

    def name(self, response: Json) -> None:
        """Tells what names the response, and what stands beside its output, where that is news."""
        named = chat_pb2.ChatChunk()
        identify(named, response)
        told = {field.name: value for field, value in named.ListFields() if self._named.get(field.name) != value}
        self._named.update(told)
        self._chunk.MergeFrom(chat_pb2.ChatChunk(**told))
        beside = self._named.setdefault("extra", {})
        news = {name: value for name, value in remaining(response).items() if beside.get(name) != value}
        beside.update(news)
        self._extra.update(news)

    def count(self, usage: chat_pb2.Usage) -> None:
        self._chunk.usage.CopyFrom(usage)

    def add(self, at: Place | None = None) -> chat_pb2.Delta:
        """A new delta, of the part that stands there in the response."""
        into = self._chunk.deltas.add(part=self.part(at) if at else 0)
        if not self._role_told:
            self._role_told, into.role = True, chat_pb2.ROLE_ASSISTANT
        return into

    def part(self, at: Place) -> int:
        return self._parts.setdefault(at, len(self._parts))

    def knows(self, at: Place) -> bool:
        return at in self._parts

    def hear(self, at: Place, text: str) -> None:
        self._heard[at] = self._heard.get(at, 0) + len(text)

    def missing(self, at: Place, text: str) -> str:
        """What of a finished text has not been heard."""
        heard = self._heard.get(at, 0)
        self._heard[at] = max(heard, len(text))
        return text[heard:]

    def text(self, at: Place, text: str, logprobs: Any = None) -> None:
        """Joins it with the delta before, if that is of the same part and nothing but text."""
        self.content_seen = self.content_seen or bool(text)
        if not logprobs and (before := self._text_before(at)) is not None:
            before.text += text
            return
        into = self.add(at)
        into.text = text
        if logprobs:
            around: Json = {}
            keep_logprobs({"content": logprobs}, into, around)
            if around:
                into.choice_extra_json = encode_json(around)

    def _text_before(self, at: Place) -> chat_pb2.Delta | None:
        if not self._chunk.deltas:
            return None
        before = self._chunk.deltas[-1]
        if not before.text or before.part != self.part(at):
            return None
        return before if all(field.name in _TEXT_ALONE for field, _ in before.ListFields()) else None

    def refuse(self, at: Place, text: str) -> None:
        self.add(at).refusal = text
        self.content_seen = True

    def think(self, at: Place, text: str) -> None:
        self.add(at).reasoning.text = text
        self.content_seen = True

    def cite(self, at: Place, annotation: Json) -> None:
        self._cited[at] = self._cited.get(at, 0) + 1
        keep_citation(annotation, self.add(at).citations.add())

    def cited(self, at: Place) -> int:
        """How many citations of that part were told."""
        return self._cited.get(at, 0)

    def whole(self, at: Place) -> chat_pb2.ContentPart:
        """A part that comes whole, to be filled."""
        self.content_seen = True
        return self.add(at).parts.add()

    def call(self, index: int, **fields: Any) -> chat_pb2.ToolCallDelta:
        self.content_seen = True
        return self.add().tool_calls.add(index=index, **fields)
