"""OpenAI's streamed answers, from bytes to chunks.

Events that are in one piece of the stream leave in one chunk, and in one delta where they add text to a choice and
nothing else. Where the pieces were cut changes nothing but that: joined, the chunks are the same.
"""

from __future__ import annotations

from typing import Any

from mesh.errors import TollwayError
from services.providers.adapters.openai.citations import take_citations
from services.providers.adapters.openai.errors import choice_error, event_error, named_error
from services.providers.adapters.openai.halves import Halves
from services.providers.adapters.openai.logprobs import keep_logprobs
from services.providers.adapters.openai.media import take_images
from services.providers.adapters.openai.repetition import Repetition, plain_text
from services.providers.adapters.openai.response import (
    FAILED,
    NOT_UNDERSTOOD,
    ROLES,
    finish,
    read_part,
)
from services.providers.adapters.openai.thinking import take_pieces, take_text
from services.providers.adapters.openai.tool_calls import ToolCalls
from services.providers.adapters.openai.usage import keep_usage
from services.providers.domain.failures import cut, malformed
from services.providers.domain.json_objects import Json, encode_json
from services.providers.domain.sse import EventDecoder
from tollway.chat.v1 import chat_pb2

_BARE_EVENT = frozenset({"id", "object", "created", "model", "choices"})
_KNOWN_EVENT = _BARE_EVENT | {"usage", "system_fingerprint", "service_tier", "obfuscation"}
_KNOWN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})


class StreamDecoder:
    """Takes the pieces of one stream, and gives out chunks.

    `choices` is how many answers were asked for, `max_event` the most bytes one event may have.
    """

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far; comments are none."""
        self.content_seen = False
        """Whether there was text, reasoning, a refusal or a tool call yet. A bare role is none of them."""
        self.done = False
        """The end mark was here, or an error: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self._choices = choices
        self._sse = EventDecoder(max_event)
        self._repetition = Repetition()
        self._halves = Halves()
        self._begun: set[int] = set()
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._tools = ToolCalls()
        self._identified = False
        self._sent: Json = {}
        self._chunk = chat_pb2.ChatChunk()
        self._speaking = chat_pb2.Delta()
        """The chunk's last delta, while there is `_speech` that belongs into it."""
        self._speech: list[str] = []
        self._extra: Json = {}
        self._full: list[chat_pb2.ChatChunk] = []

    @property
    def complete(self) -> bool:
        """Whether every answer asked for came to its finish reason."""
        return not self._open and len(self._finished) >= self._choices

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """The chunks in a piece of the stream: none where it completes no event, and rarely more than one."""
        events = self._sse.feed(data)
        self.events += len(events)
        try:
            place = 0
            while place < len(events) and not self.done:
                if not self._halves.held and (texts := self._repetition.find(events, place)):
                    self._say("".join(texts), self._repetition.choice)
                    place += len(texts)
                else:
                    self._read(*events[place])
                    place += 1
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is not a chunk ({type(error).__name__})"))
        if self._sse.overflown and not self.done:
            self._end(malformed("the provider sent an event of more bytes than are read"))
        self._close_chunk()
        full, self._full = self._full, []
        return full

    def _read(self, kind: bytes, text: bytes) -> None:
        if kind == b"error":
            self._end(event_error(text))
        elif len(text) < 10 and text.strip() in (b"", b"[DONE]"):
            self._mark(text)
        else:
            event = self._halves.parse(text)
            self._event(event)
            self._repetition.learn(text, event)

    def _end(self, error: TollwayError | None) -> None:
        self.done, self.error = True, error

    def _mark(self, text: bytes) -> None:
        """The end mark, or nothing. A server that says it is done owes no answer that it did not begin."""
        if text.strip():
            self._end(None if self._finished and not self._open else cut())

    def _event(self, event: Json) -> None:
        if event.keys() != _BARE_EVENT:
            self._beside(event)
            if self.done:
                return
        if not self._identified:
            self._identify(event)
        if choices := event.get("choices"):
            for choice in choices:
                text = plain_text(choice)
                if text is None:
                    self._choice(choice)
                else:
                    self._say(text, choice.get("index") or 0)

    def _close_chunk(self) -> None:
        self._end_speech()
        chunk = self._chunk
        if self._extra:
            chunk.extra_json = encode_json(self._extra)
            self._extra = {}
        if chunk.deltas or chunk.ByteSize():
            self._full.append(chunk)
            self._chunk = chat_pb2.ChatChunk()

    def _add(self, index: int) -> chat_pb2.Delta:
        self._end_speech()
        delta = self._chunk.deltas.add()
        if index:
            delta.index = index
        return delta

    def _say(self, text: str, index: int) -> None:
        """Adds text to a choice; to the delta before, if that is of the same choice and nothing but text."""
        if not self._speech or self._speaking.index != index:
            self._speaking = self._add(index)
            if index not in self._finished:
                self._open.add(index)
        self._speech.append(text)
        if text:
            self.content_seen = True

    def _end_speech(self) -> None:
        if self._speech:
            self._speaking.text = "".join(self._speech)
            self._speech.clear()

    def _identify(self, event: Json) -> None:
        """Names the answer, once; Azure's first event has no names yet."""
        for name in ("id", "model"):
            if name not in self._sent and (value := event.get(name)):
                self._say_once(name, value)
        created = event.get("created")
        if created and isinstance(created, (int, float)) and "created" not in self._sent:
            self._sent["created"] = created
            self._chunk.create_time.seconds = int(created)
        self._identified = "id" in self._sent and "model" in self._sent

    def _say_once(self, name: str, value: Any) -> None:
        if self._sent.get(name) != value:
            setattr(self._chunk, name, value)
            self._sent[name] = value

    def _beside(self, event: Json) -> None:
        """Keeps what an event says beside its choices: usage, and fields that have no place of their own."""
        if tier := event.get("service_tier"):
            self._say_once("service_tier", tier)
        if fingerprint := event.get("system_fingerprint"):
            self._say_once("system_fingerprint", fingerprint)
        if "obfuscation" in event:
            # Filler that hides the length of what an event says: the last of a chunk stands for all of it.
            self._extra["obfuscation"] = event["obfuscation"]
        usage = event.get("usage")
        if not usage and event.keys() <= _KNOWN_EVENT:
            return
        if named := named_error(event):
            self._end(named)
            return
        extra = {name: value for name, value in event.items() if name not in _KNOWN_EVENT}
        counted = chat_pb2.ChatChunk()
        if usage:
            keep_usage(usage, counted, extra, self._sent.get("service_tier", ""))
        news = {name: value for name, value in extra.items() if name not in self._sent or self._sent[name] != value}
        if any(name in self._extra for name in news):
            self._close_chunk()  # one chunk has room for one value
        self._extra.update(news)
        self._sent.update(news)
        if counted.HasField("usage"):
            self._chunk.usage.CopyFrom(counted.usage)

    def _choice(self, choice: Json) -> None:
        index = choice.get("index") or 0
        delta = choice.get("delta")
        if delta and "reasoning_details" in delta:
            self._thinking(delta, index)
        if delta and isinstance(delta.get("content"), list):
            self._parts(delta, index)
        into = self._add(index)
        if delta:
            self._delta(delta, index, into)
        if reason := choice.get("finish_reason"):
            if reason == FAILED:
                self._end(choice_error(choice))
                return
            if index not in self._finished:  # some say it again with the usage
                finish(reason, into)
                self._finished.add(index)
                self._open.discard(index)
        elif index not in self._finished:
            self._open.add(index)
        logprobs = choice.get("logprobs")
        if logprobs or not choice.keys() <= _KNOWN_CHOICE:
            extra = {name: value for name, value in choice.items() if name not in _KNOWN_CHOICE}
            if logprobs:
                keep_logprobs(logprobs, into, extra)
            if extra:
                into.choice_extra_json = encode_json(extra)

    def _thinking(self, delta: Json, choice: int) -> None:
        """Thinking with its proofs, each in a delta of its own, with the detail that it was read from."""
        for thought, detail in take_pieces(delta):
            into = self._add(choice)
            self._role(delta, choice, into)
            if thought.ByteSize():
                into.reasoning.CopyFrom(thought)
                self.content_seen = True
            if detail:
                into.extra_json = encode_json({"reasoning_details": [detail]})

    def _parts(self, delta: Json, choice: int) -> None:
        """What comes in parts, as Mistral's text and thinking do: each of them in a delta of its own."""
        for given in delta.pop("content"):
            part = chat_pb2.ContentPart()
            read_part(given, part)
            into = self._add(choice)
            self._role(delta, choice, into)
            if part.HasField("reasoning"):
                into.reasoning.CopyFrom(part.reasoning)
            elif part.HasField("text"):
                into.text, into.extra_json = part.text, part.extra_json
            else:
                into.parts.append(part)
            self.content_seen = self.content_seen or bool(part.extra_json or part.text or part.reasoning.text)

    def _role(self, delta: Json, choice: int, into: chat_pb2.Delta) -> None:
        role = delta.pop("role", None)
        if role and choice not in self._begun:  # some repeat it in every event
            self._begun.add(choice)
            into.role = ROLES.get(role, chat_pb2.ROLE_ASSISTANT)

    def _delta(self, delta: Json, choice: int, into: chat_pb2.Delta) -> None:
        self._role(delta, choice, into)
        if thinking := take_text(delta):
            into.reasoning.text = thinking
        text = delta.pop("content", None)
        if isinstance(text, str):
            into.text = text
        elif text is not None:
            delta["content"] = text
        into.refusal = delta.pop("refusal", None) or ""
        for call in delta.pop("tool_calls", None) or ():
            self._tools.keep(call, choice, into.tool_calls.add())
        if "annotations" in delta:
            take_citations(delta, into.citations)
        if "images" in delta:
            take_images(delta, into.parts)
        if delta:
            into.extra_json = encode_json(delta)
        # Sound and whatever comes next are content, too, though only `extra_json` has a place for them.
        said = thinking or text or into.refusal or into.tool_calls or into.parts or any(delta.values())
        self.content_seen = self.content_seen or bool(said)
