"""A streamed response, from typed events to chunks.

Every text comes in pieces and once more when it is finished, every item, too, and the response again at its end. What
was heard is not told again, and what a server did not tell in pieces is taken from there. Events about how the
provider's own tools get on have no place: such an item is told when it is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mesh.errors import TollwayError
from services.providers.adapters.openai.halves import parse
from services.providers.adapters.openai.response import NOT_UNDERSTOOD
from services.providers.adapters.openai.tool_calls import arguments
from services.providers.adapters.openai_responses.errors import failure
from services.providers.adapters.openai_responses.items import DIALECT, ITEM
from services.providers.adapters.openai_responses.output import (
    BETWEEN_SUMMARIES,
    CALLS,
    call_rest,
    message_rest,
    reasoning_rest,
    summary_of,
    whole,
)
from services.providers.adapters.openai_responses.proof import proof_in
from services.providers.adapters.openai_responses.response import finish, keep_usage
from services.providers.adapters.openai_responses.telling import Place, Telling
from services.providers.domain.failures import cut, malformed
from services.providers.domain.json_objects import Json, encode_json
from services.providers.domain.sse import EventDecoder
from tollway.chat.v1 import chat_pb2

_OF_ITEM = -1
"""In place of a part, where an item is told as one."""
_OF_CALL = ("namespace", "caller")
"""What of a call is known when it begins."""
_TOLD_ALREADY = ("summary", "content")
"""What of a train of thought was told as text."""


class StreamDecoder:
    """Takes the pieces of one stream, and gives out chunks. A response is one answer, whatever `choices` says."""

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far; comments are none."""
        self.done = False
        """The response ended, or an error came: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self.complete = False
        """Whether the answer came to its finish reason."""
        self._sse = EventDecoder(max_event)
        self._telling = Telling()
        self._summary: dict[int, int] = {}
        """Which of its summaries an item of thinking is at."""
        self._calls: dict[int, int] = {}
        self._finished_items: set[int] = set()

    @property
    def content_seen(self) -> bool:
        """Whether there was text, thinking, a refusal, a tool call or anything else that the answer is made of."""
        return self._telling.content_seen

    @content_seen.setter
    def content_seen(self, seen: bool) -> None:
        self._telling.content_seen = seen

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """What is in a piece of the stream, in one chunk; none where it completes no event."""
        events = self._sse.feed(data)
        self.events += len(events)
        try:
            for _, text in events:
                if not self.done:
                    self._read(text)
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is not of a response ({type(error).__name__})"))
        if self._sse.overflown and not self.done:
            self._end(malformed("the provider sent an event of more bytes than are read"))
        return self._telling.take()

    def _read(self, text: bytes) -> None:
        if text.strip() in (b"", b"[DONE]"):
            if text.strip():
                self._end(cut())
            return
        event = parse(text)
        kind = event.get("type") or ""
        if kind == "error" or (not kind and event.get("error")):
            self._end(failure(event.get("error") or {**event, "type": None}))
        elif read := _READERS.get(kind):
            read(self, event)

    def _end(self, error: TollwayError | None) -> None:
        self.done, self.error = True, error

    # The response itself.

    def _begun(self, event: Json) -> None:
        response = event["response"]
        for name in ("output", "usage", "status", "incomplete_details"):
            response.pop(name, None)
        self._telling.name(response)

    def _finished(self, event: Json) -> None:
        response = event["response"]
        for place, item in enumerate(response.pop("output", None) or ()):
            if place not in self._finished_items:
                self._item_done({"output_index": place, "item": item})
        finish(response, self._telling.add(), called=bool(self._calls))
        counted = chat_pb2.ChatChunk(service_tier=response.get("service_tier") or "")
        keep_usage(response, counted)
        if counted.HasField("usage"):
            self._telling.count(counted.usage)
        self._telling.name(response)
        self.complete = True
        self._end(None)

    def _failed(self, event: Json) -> None:
        self._end(failure(event["response"].get("error")))

    # Items.

    def _item_added(self, event: Json) -> None:
        if event["item"].get("type") in CALLS:
            self._begin_call(event["output_index"], event["item"])

    def _item_done(self, event: Json) -> None:
        item, place = event["item"], event["output_index"]
        self._finished_items.add(place)
        kind = item.get("type")
        if kind == "message":
            self._message_done(place, item)
        elif kind == "reasoning":
            self._reasoning_done(place, item)
        elif kind in CALLS:
            self._begin_call(place, item)
            self._argue(place, arguments(item.get(CALLS[kind][1])))
        elif kind:
            whole(item, self._telling.whole((place, _OF_ITEM)))

    def _message_done(self, place: int, item: Json) -> None:
        for i, content in enumerate(item.get("content") or ()):
            self._content_done({"output_index": place, "content_index": i, "part": content})
        if rest := message_rest(item):
            self._telling.add((place, 0)).extra_json = encode_json({ITEM: rest})

    def _content_done(self, event: Json) -> None:
        """A part that is finished: what was not told of it in pieces."""
        content, at, telling = event["part"], _place(event), self._telling
        kind = content.get("type")
        if kind == "output_text":
            text = content.get("text") or ""
            if missing := telling.missing(at, text):
                telling.text(at, missing, content.get("logprobs") if missing == text else None)
            for annotation in (content.get("annotations") or [])[telling.cited(at) :]:
                telling.cite(at, annotation)
        elif kind == "refusal":
            if missing := telling.missing(at, content.get("refusal") or ""):
                telling.refuse(at, missing)
        elif kind != "reasoning_text" and not telling.knows(at):
            telling.whole(at).extra_json = encode_json(content)

    def _reasoning_done(self, place: int, item: Json) -> None:
        at = (place, _OF_ITEM)
        if missing := self._telling.missing(at, summary_of(item)):
            self._telling.think(at, missing)
        proof = proof_in(item)
        rest = {name: value for name, value in reasoning_rest(item).items() if name not in _TOLD_ALREADY}
        if not proof and not rest:
            return
        into = self._telling.add(at)
        if proof:
            into.reasoning.redacted, into.reasoning.issuer = proof, DIALECT
            self.content_seen = True
        if rest:
            into.extra_json = encode_json({ITEM: rest})

    # What is said, piece by piece.

    def _text_delta(self, event: Json) -> None:
        at, text = _place(event), event["delta"]
        self._telling.hear(at, text)
        self._telling.text(at, text, event.get("logprobs"))

    def _annotation_added(self, event: Json) -> None:
        if annotation := event.get("annotation"):
            self._telling.cite(_place(event), annotation)

    def _refusal_delta(self, event: Json) -> None:
        at, text = _place(event), event["delta"]
        self._telling.hear(at, text)
        self._telling.refuse(at, text)

    def _thinking_delta(self, event: Json) -> None:
        place, text, summary = event["output_index"], event["delta"], event.get("summary_index", 0)
        if self._summary.get(place, 0) != summary:
            self._summary[place] = summary
            text = BETWEEN_SUMMARIES + text
        self._telling.hear((place, _OF_ITEM), text)
        self._telling.think((place, _OF_ITEM), text)

    # Calls of the client's tools.

    def _begin_call(self, place: int, item: Json) -> None:
        if place in self._calls:
            return
        self._calls[place] = len(self._calls)
        kind = CALLS[item["type"]][0]
        call = self._telling.call(self._calls[place], id=item["call_id"], type=kind, name=item["name"])
        if rest := {name: value for name, value in call_rest(item).items() if name in _OF_CALL}:
            call.extra_json = encode_json(rest)

    def _call_delta(self, event: Json) -> None:
        place, text = event["output_index"], event["delta"]
        self._telling.hear((place, _OF_ITEM), text)
        self._telling.call(self._calls[place], arguments=text)

    def _call_done(self, event: Json) -> None:
        self._argue(event["output_index"], event.get("arguments") or event.get("input") or "")

    def _argue(self, place: int, text: str) -> None:
        if missing := self._telling.missing((place, _OF_ITEM), text):
            self._telling.call(self._calls[place], arguments=missing)


def _place(event: Json) -> Place:
    return event["output_index"], event.get("content_index", 0)


_READERS: Mapping[str, Callable[[StreamDecoder, Json], None]] = {
    "response.created": StreamDecoder._begun,
    "response.queued": StreamDecoder._begun,
    "response.in_progress": StreamDecoder._begun,
    "response.completed": StreamDecoder._finished,
    "response.incomplete": StreamDecoder._finished,
    "response.failed": StreamDecoder._failed,
    "response.cancelled": StreamDecoder._failed,
    "response.output_item.added": StreamDecoder._item_added,
    "response.output_item.done": StreamDecoder._item_done,
    "response.content_part.done": StreamDecoder._content_done,
    "response.output_text.delta": StreamDecoder._text_delta,
    "response.output_text.annotation.added": StreamDecoder._annotation_added,
    "response.refusal.delta": StreamDecoder._refusal_delta,
    "response.reasoning_summary_text.delta": StreamDecoder._thinking_delta,
    "response.reasoning_text.delta": StreamDecoder._thinking_delta,
    "response.function_call_arguments.delta": StreamDecoder._call_delta,
    "response.function_call_arguments.done": StreamDecoder._call_done,
    "response.custom_tool_call_input.delta": StreamDecoder._call_delta,
    "response.custom_tool_call_input.done": StreamDecoder._call_done,
}
