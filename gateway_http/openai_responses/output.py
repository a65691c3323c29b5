"""The items of an answer in OpenAI's Responses as they grow, and the events that tell of it.

A message or a train of thought is ended by whatever begins after it. Calls may grow side by side, as providers stream
them: each is an item of its own, which is open until its choice ends. What is said after a call began waits for the
call, for there are clients that put the items in the order in which they end. So however pieces come mixed, every item
is begun, grows and is ended, each once and in that order.
"""

from __future__ import annotations

from typing import Any

from gateway_http.foreign import put_extra
from gateway_http.json_output import decode_json, encode_json, put_back
from gateway_http.openai_chat.foreign_parts import foreign_part
from gateway_http.openai_chat.response import audio_json, file_json, thought_json
from gateway_http.openai_responses.events import Events
from gateway_http.openai_responses.items import MADE_ELSEWHERE, OWN
from gateway_http.openai_responses.parts import image_fields
from gateway_http.openai_responses.spoken import Call, Growing, Speech, Thought, Whole
from tollway.chat.v1 import chat_pb2 as pb

OF_ITEM = "item"
"""Where a part's extra fields, of this dialect, have those of the item that the part belongs to."""
_INCOMPLETE = (pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_CONTENT_FILTER)


class Output:
    """All items of an answer. `name` stands in their ids."""

    def __init__(self, name: str, events: Events) -> None:
        self.items: list[dict[str, Any]] = []
        self._name, self._events = name, events
        self._choices: dict[int, Choice] = {}

    def choice(self, index: int) -> Choice:
        found = self._choices.get(index)
        if found is None:
            found = self._choices[index] = Choice(self, self._events)
        return found

    def begin(self, prefix: str, item: dict[str, Any]) -> int:
        """Adds an item, and answers with its place."""
        place = len(self.items)
        self.items.append({"id": f"{prefix}_{self._name}_{place}", **item})
        self._events.add("response.output_item.added", {"output_index": place, "item": dict(self.items[place])})
        return place

    def end(self, place: int) -> None:
        self._events.add("response.output_item.done", {"output_index": place, "item": self.items[place]})

    def break_off(self) -> None:
        """Marks what has not been ended as such, and tells nobody."""
        for choice in self._choices.values():
            choice.break_off()


class Choice:
    """What one choice says. Its items are ended in the order in which they began."""

    def __init__(self, output: Output, events: Events) -> None:
        self._output, self._events = output, events
        self._speaking: Speech | Thought | Whole | None = None
        self._waiting: list[Growing] = []
        """What came to its end while calls that began before it are open."""
        self._spoken: list[Speech] = []
        """Every message, also those that have been ended."""
        self._calls: dict[int, Call] = {}

    def say(self, text: str, part: int, logprobs: pb.Logprobs | None = None) -> None:
        self._speech().say(text, part, logprobs)

    def going_on(self, part: int) -> Speech | None:
        """The message that a piece of text in that part only adds to."""
        speaking = self._speaking
        return speaking if isinstance(speaking, Speech) and speaking.says(part) else None

    def refuse(self, text: str, part: int, logprobs: pb.Logprobs | None = None) -> None:
        self._speech().refuse(text, part, logprobs)

    def cite(self, citations: list[pb.Citation], part: int, dialect: str) -> None:
        said = next((speech for speech in reversed(self._spoken) if speech.has_said(part)), None)
        (said or self._speech()).cite(citations, part, dialect)

    def think(self, reasoning: pb.ReasoningPart, part: int, extra_json: bytes = b"", dialect: str = "") -> None:
        thought = self._speaking
        if not isinstance(thought, Thought) or not thought.takes(reasoning, part):
            self._end_speaking()
            self._speaking = thought = Thought(self._output, self._events, part)
        thought.think(reasoning)
        if extra_json:
            thought.put_extra(extra_json, dialect)

    def call(self, place: int, piece: pb.ToolCallDelta | pb.ToolCall, dialect: str) -> None:
        """A piece of the choice's call at that place."""
        call = self._calls.get(place)
        if call is None:
            self._end_speaking()
            call = self._calls[place] = Call(self._output, self._events, piece)
        call.grow(piece.arguments)
        if piece.signature:
            call.item["extra_content"] = thought_json(piece.signature)
        call.put_extra(piece.extra_json, dialect)

    def add(self, part: pb.ContentPart, place: int, dialect: str) -> None:
        """A part that comes whole."""
        kind = part.WhichOneof("part")
        if kind == "text":
            self.say(part.text, place)
            if part.citations:
                self.cite(list(part.citations), place, dialect)
        elif kind == "refusal":
            self.refuse(part.refusal, place)
        elif kind == "reasoning":
            self.think(part.reasoning, place, part.extra_json, dialect)
            return
        elif kind == "image":
            self._draw(part, dialect)
            return
        elif kind == "audio":
            self.say(part.audio.transcript, place)
            self._speech().beside("audio", audio_json(part.audio))
        elif kind == "file":
            self._speech().item.setdefault("files", []).append(file_json(part.file))
        if part.extra_json:
            self._add_extra(part, kind, place, dialect)

    def _add_extra(self, part: pb.ContentPart, kind: str | None, place: int, dialect: str) -> None:
        if dialect != OWN:
            self._speech().item.setdefault("content_parts", []).append(foreign_part(place, part, dialect or "openai"))
        elif kind is None:
            self._whole("item", decode_json(part.extra_json))
        else:
            extra = decode_json(part.extra_json)
            self.beside(extra.pop(OF_ITEM, {}))
            self._speech().lay_under(encode_json(extra))

    def beside(self, fields: dict[str, Any]) -> None:
        """What the item that is growing has beside what it says."""
        if fields:
            growing: Growing = self._speaking or self._speech()
            put_back(growing.item, encode_json(fields))

    def _draw(self, part: pb.ContentPart, dialect: str) -> None:
        item: dict[str, Any] = {"type": "image_generation_call", "status": "completed", **image_fields(part.image)}
        if dialect == OWN and part.extra_json:
            item = {**decode_json(part.extra_json), **item}
        else:
            put_extra(item, part.extra_json, dialect, OWN)
        self._whole("ig" if dialect == OWN else MADE_ELSEWHERE, item)

    def finish(self, reason: pb.FinishReason.ValueType) -> None:
        """Ends what is open; of an answer that was cut short, the last item is incomplete."""
        growing = self._growing()
        self._speaking, self._waiting, self._calls = None, [], {}
        for item in growing:
            item.close("incomplete" if reason in _INCOMPLETE and item is growing[-1] else "completed")

    def break_off(self) -> None:
        for item in self._growing():
            item.keep("completed" if item in self._waiting else "incomplete")

    def _growing(self) -> list[Growing]:
        speaking: list[Growing] = [self._speaking] if self._speaking is not None else []
        return sorted([*speaking, *self._waiting, *self._calls.values()], key=lambda item: item.place)

    def _speech(self) -> Speech:
        if not isinstance(self._speaking, Speech):
            self._end_speaking()
            self._speaking = Speech(self._output, self._events)
            self._spoken.append(self._speaking)
        return self._speaking

    def _end_speaking(self) -> None:
        if self._speaking is None:
            return
        if self._calls:
            self._waiting.append(self._speaking)
        else:
            self._speaking.close("completed")
        self._speaking = None

    def _whole(self, prefix: str, item: dict[str, Any]) -> None:
        self._end_speaking()
        self._speaking = Whole(self._output, self._events, prefix, item)
        self._end_speaking()
