"""Cohere's streamed answers, from bytes to chunks.

Events that are in one piece of the stream leave in one chunk, and in one delta where they add text to the same part.
Where the pieces were cut changes nothing but that: joined, the chunks are the same.
"""

from __future__ import annotations

from mesh.errors import TollwayError
from services.providers.adapters.cohere.citations import keep_citation
from services.providers.adapters.cohere.errors import event_error, finish_error
from services.providers.adapters.cohere.response import (
    DIALECT,
    FAILED,
    NOT_UNDERSTOOD,
    finish,
    keep_logprobs,
    keep_usage,
)
from services.providers.domain.chunks import Chunks
from services.providers.domain.failures import cut, malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object
from services.providers.domain.sse import EventDecoder
from tollway.chat.v1 import chat_pb2

_SAY_NOTHING = {"content-end", "tool-call-end", "citation-end"}
_END_MARK = b"[DONE]"


class StreamDecoder:
    """Takes the pieces of one stream, and gives out chunks.

    Cohere gives one answer, however many `choices` were asked for. `max_event` is the most bytes an event may have.
    """

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far; comments are none."""
        self.content_seen = False
        """Whether there was text, reasoning or a tool call yet. A bare role is none of them."""
        self.done = False
        """The end was here, or an error: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self._choices = choices
        self._sse = EventDecoder(max_event)
        self._finished = False
        self._begun = False
        self._calls: dict[int, int] = {}
        """The place of a call among the calls, by the number Cohere gives it."""
        self._chunks = Chunks()

    @property
    def complete(self) -> bool:
        """Whether the answer came to its finish reason."""
        return self._finished and self._choices <= 1

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """The chunks in a piece of the stream: none where it completes no event, and rarely more than one."""
        events = self._sse.feed(data)
        self.events += len(events)
        try:
            for kind, text in events:
                self._read(kind.decode(), text)
                if self.done:
                    break
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is not Cohere's ({type(error).__name__})"))
        if self._sse.overflown and not self.done:
            self._end(malformed("the provider sent an event of more bytes than are read"))
        return self._chunks.take()

    def _end(self, error: TollwayError | None) -> None:
        self.done, self.error = True, error

    def _read(self, named: str, text: bytes) -> None:
        if text.strip() == _END_MARK:
            self._end(None if self._finished else cut())
            return
        event = sent_object(text)
        kind = event.pop("type", "") or named
        if kind == "content-delta":
            self._content(event)
        elif kind == "message-end":
            self._finish(event)
        elif kind == "message-start":
            self._begin(event)
        elif kind == "content-start":
            self._content(event)
        elif kind == "tool-plan-delta":
            self._think(event["delta"]["message"]["tool_plan"], 0)
        elif kind in ("tool-call-start", "tool-call-delta"):
            self._call(event)
        elif kind == "citation-start":
            self._cite(event)
        elif not kind or kind == "error":
            self._end(event_error(text))
        elif kind not in _SAY_NOTHING:
            self._chunks.keep({kind: event})

    def _begin(self, event: Json) -> None:
        if self._begun:
            return
        self._begun = True
        self._chunks.chunk.dialect = DIALECT
        self._chunks.chunk.id = event.pop("id", None) or ""
        self._chunks.add().role = chat_pb2.ROLE_ASSISTANT
        event.pop("delta", None)
        self._chunks.keep(event)

    def _finish(self, event: Json) -> None:
        delta = event.pop("delta")
        reason = delta.pop("finish_reason")
        usage = delta.pop("usage", None)
        if usage:
            keep_usage(usage, self._chunks.chunk.usage)
        if reason in FAILED or delta.get("error"):
            self._end(finish_error(reason, delta))
            return
        finish(reason, self._chunks.add())
        event.pop("id", None)
        delta.pop("error", None)
        self._chunks.keep({**event, **delta})
        self._finished = True
        self._end(None)

    def _content(self, event: Json) -> None:
        part = event.pop("index", None) or 0
        content = event.pop("delta")["message"]["content"]
        content.pop("type", None)
        if (text := content.pop("text", None)) is not None:
            self._say(text, part)
        if thought := content.pop("thinking", None):
            self._think(thought, part)
        if item := event.pop("logprobs", None):
            into = self._chunks.add(part)
            keep_logprobs(item, into.logprobs)
            into.choice_extra_json = encode_json({"logprobs": item})
        if content or event:
            self._chunks.add(part).extra_json = encode_json({**event, **content})

    def _say(self, text: str, part: int) -> None:
        if not text:
            return
        self._chunks.say(text, part)
        self.content_seen = True

    def _think(self, thought: str, part: int) -> None:
        if thought:
            self._chunks.add(part).reasoning.text = thought
            self.content_seen = True

    def _call(self, event: Json) -> None:
        number = event.pop("index", None) or 0
        calls = event.pop("delta")["message"]["tool_calls"]
        for call in calls if isinstance(calls, list) else (calls,):
            self._piece(number, call, self._chunks.add().tool_calls.add())
        self.content_seen = True

    def _piece(self, number: int, call: Json, into: chat_pb2.ToolCallDelta) -> None:
        function = call.pop("function", None) or {}
        if number not in self._calls:
            self._calls[number] = len(self._calls)
            into.id, into.type = call.pop("id", None) or "", call.pop("type", None) or "function"
            into.name = function.pop("name", None) or ""
        into.index = self._calls[number]
        into.arguments = function.pop("arguments", None) or ""
        if function:
            call["function"] = function
        if call:
            into.extra_json = encode_json(call)

    def _cite(self, event: Json) -> None:
        cited = event.pop("delta")["message"]["citations"]
        for citation in cited if isinstance(cited, list) else (cited,):
            part = citation.pop("content_index", None) or 0
            keep_citation(citation, self._chunks.add(part).citations.add())
