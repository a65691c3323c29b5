"""Gemini's streamed answers, from bytes to chunks: each event is an answer of its own, of what is new.

There is no end mark. A candidate is finished with its finish reason, and what follows it (usage, grounding) belongs to
it still; the stream is over when it ends. Usage is counted anew in every event: it is told once all are finished, so
that a broken stream is not taken for one whose provider counted it.
"""

from __future__ import annotations

from mesh.errors import TollwayError
from services.providers.adapters.gemini.candidate import finish, rest, take_logprobs
from services.providers.adapters.gemini.citations import Said, grounding, recited, within
from services.providers.adapters.gemini.errors import blocked, named_error
from services.providers.adapters.gemini.parts import content_part, proof, take_signature, tool_call
from services.providers.adapters.gemini.reading import NOT_UNDERSTOOD, parse
from services.providers.adapters.gemini.response import identify
from services.providers.adapters.gemini.telling import DIALECT
from services.providers.adapters.gemini.usage import take_usage
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json
from services.providers.domain.sse import EventDecoder
from tollway.chat.v1 import chat_pb2


class StreamDecoder:
    """Takes the pieces of one stream, and gives out a chunk for each event.

    `choices` is how many answers were asked for, `max_event` the most bytes one event may have.
    """

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far; comments are none."""
        self.content_seen = False
        """Whether there was text, thinking, a tool call or anything else that was made yet."""
        self.done = False
        """An error was here: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self._choices, self._max_event = choices, max_event
        self._sse = EventDecoder(max_event)
        self._candidates: dict[int, _Candidate] = {}
        self._identity = chat_pb2.ChatChunk()
        self._usage: Json = {}
        self._sent: Json = {}

    @property
    def complete(self) -> bool:
        """Whether every answer asked for came to its finish reason."""
        return len(self._candidates) >= self._choices and all(each.finished for each in self._candidates.values())

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """The chunks in a piece of the stream: one for each event that says anything."""
        chunks: list[chat_pb2.ChatChunk] = []
        events = self._sse.feed(data)
        self.events += len(events)
        try:
            for _, text in events:
                if not self.done and (chunk := self._event(parse(text))).ByteSize():
                    chunks.append(chunk)
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is no answer ({type(error).__name__})"))
        if self._sse.overflown and not self.done:
            self._end(malformed("the provider sent an event of more bytes than are read"))
        return chunks

    def _end(self, error: TollwayError) -> None:
        self.done, self.error = True, error

    def _event(self, event: Json) -> chat_pb2.ChatChunk:
        chunk = chat_pb2.ChatChunk()
        candidates = event.pop("candidates", None) or ()
        if error := named_error(event) or (None if candidates else blocked(event)):
            self._end(error)
            return chunk
        self._identify(event, chunk)
        self._usage.update(counted := event.pop("usageMetadata", None) or {})
        finished_before = self.complete
        for place, said in enumerate(candidates):
            index = said.pop("index", None)
            self._candidate(place if index is None else index).read(said, self._identity.id, chunk)
        self.content_seen = self.content_seen or any(each.content_seen for each in self._candidates.values())
        if self.complete and (counted or not finished_before):
            self._tell_usage(event, chunk)
        self._beside(event, chunk)
        return chunk

    def _tell_usage(self, event: Json, into: chat_pb2.ChatChunk) -> None:
        if self._usage:
            event["usageMetadata"] = dict(self._usage)
            if (usage := take_usage(event)) is not None:
                into.usage.CopyFrom(usage)

    def _candidate(self, index: int) -> _Candidate:
        if index not in self._candidates:
            self._candidates[index] = _Candidate(index, self._max_event)
        return self._candidates[index]

    def _identify(self, event: Json, into: chat_pb2.ChatChunk) -> None:
        """Names the answer, once; every event does."""
        said = chat_pb2.ChatChunk()
        identify(said, event)
        if not self._identity.dialect:
            into.dialect = self._identity.dialect = DIALECT
        for name in ("id", "model"):
            if (value := getattr(said, name)) and not getattr(self._identity, name):
                setattr(into, name, value)
                setattr(self._identity, name, value)
        if said.HasField("create_time") and not self._identity.HasField("create_time"):
            into.create_time.CopyFrom(said.create_time)
            self._identity.create_time.CopyFrom(said.create_time)

    def _beside(self, event: Json, into: chat_pb2.ChatChunk) -> None:
        """Keeps what an event says beside its candidates, where it is news."""
        news = {name: value for name, value in event.items() if name not in self._sent or self._sent[name] != value}
        self._sent.update(news)
        into.extra_json = rest(news)


class _Candidate:
    """One answer of a stream: what was said of it so far, as far as that is needed to read on."""

    def __init__(self, index: int, limit: int) -> None:
        self.finished = False
        self.content_seen = False
        self._index = index
        self._begun = False
        self._said = Said(limit)
        self._calls = 0
        self._part, self._kind = -1, ""
        self._texts = {0: 0}
        """The number of each text's part, and at which character of all texts it begins."""
        self._size = 0
        self._cited: set[bytes] = set()

    def read(self, said: Json, answer: str, into: chat_pb2.ChatChunk) -> None:
        """Adds what an event says of it to the chunk."""
        first = len(into.deltas)
        content = said.pop("content", None) or {}
        content.pop("role", None)
        for part in content.pop("parts", None) or ():
            if "functionCall" in part:
                self._call(part, answer, into)
            else:
                self._content(part, into)
        self._close(said, content, into)
        if not self._begun and first < len(into.deltas):
            self._begun = True
            into.deltas[first].role = chat_pb2.ROLE_ASSISTANT

    def _call(self, part: Json, answer: str, into: chat_pb2.ChatChunk) -> None:
        delta = self._add("call", into)
        call = tool_call(part, answer, self._index, self._calls)
        piece = delta.tool_calls.add(index=self._calls, id=call.id, type=call.type, name=call.name)
        piece.arguments, piece.signature, piece.extra_json = call.arguments, call.signature, call.extra_json
        self._calls += 1
        self.content_seen = True

    def _content(self, part: Json, into: chat_pb2.ChatChunk) -> None:
        signature, content = take_signature(part), content_part(part)
        kind = content.WhichOneof("part") or ""
        if kind == "reasoning":
            self._thought(content, signature, into)
            return
        if kind == "text":
            self._text(content, into)
        else:
            self._add("", into).parts.append(content)
            self.content_seen = True
        if signature:
            self._add("", into).reasoning.CopyFrom(proof(signature))

    def _thought(self, content: chat_pb2.ContentPart, signature: str, into: chat_pb2.ChatChunk) -> None:
        if content.reasoning.text or content.extra_json or signature:
            delta = self._add("reasoning", into)
            delta.reasoning.text, delta.extra_json = content.reasoning.text, content.extra_json
            if signature:
                delta.reasoning.MergeFrom(proof(signature))
                self._kind = ""  # what is signed is whole
            self.content_seen = self.content_seen or bool(content.reasoning.text)

    def _text(self, content: chat_pb2.ContentPart, into: chat_pb2.ChatChunk) -> None:
        if content.text or content.extra_json:
            delta = self._add("text", into)
            delta.text, delta.extra_json = content.text, content.extra_json
            self._begin_text(delta.part)
            self._size += len(content.text)
            self._said.add(content.text)
            self.content_seen = self.content_seen or bool(content.text)

    def _begin_text(self, part: int) -> None:
        if not self._size:
            self._texts = {part: 0}
        self._texts.setdefault(part, self._size)

    def _add(self, kind: str, into: chat_pb2.ChatChunk) -> chat_pb2.Delta:
        """A delta of the part that is open, or of the next where this is of another kind or stands alone."""
        if not kind or kind != self._kind:
            self._part, self._kind = self._part + 1, kind
        return into.deltas.add(index=self._index, part=self._part)

    def _close(self, said: Json, content: Json, into: chat_pb2.ChatChunk) -> None:
        """Tells what an event says beside its parts, if anything, where the text is that it is about."""
        *earlier, newest = self._texts
        closing = chat_pb2.Delta(extra_json=rest(content))
        for cited in (*grounding(said, self._said, {}), *recited(said, self._said)):
            if (key := cited.SerializeToString(deterministic=True)) not in self._cited:
                self._cited.add(key)
                place = within(cited, list(self._texts.values()), self._size)
                about = into.deltas.add(index=self._index, part=earlier[place]) if place < len(earlier) else closing
                about.citations.append(cited)
        take_logprobs(said, closing)
        reason = said.pop("finishReason", None)
        if reason and not self.finished:
            finish(reason, closing, calls=self._calls > 0)
            self.finished = True
        closing.choice_extra_json = rest({name: value for name, value in said.items() if value not in ({}, [])})
        if closing.ByteSize():
            closing.index, closing.part = self._index, newest
            into.deltas.append(closing)
