"""Anthropic's streamed answers, from bytes to chunks.

Events that are in one piece of the stream leave in one chunk, and text that comes after text in one delta. Where the
pieces were cut changes nothing but that: joined, the chunks are the same.

What the provider counted is given when it counted the answer: what a stream begins with counts the question alone, and
would stand for the whole if the stream broke off.
"""

from __future__ import annotations

from mesh.errors import TollwayError
from services.providers.adapters.anthropic.blocks import Block, Opaque, Plain, ToolUse, opened
from services.providers.adapters.anthropic.errors import named_error
from services.providers.adapters.anthropic.extra import NAME
from services.providers.adapters.anthropic.response import NOT_UNDERSTOOD, identify, kept, read_finish
from services.providers.adapters.anthropic.usage import read_usage
from services.providers.domain.failures import cut, malformed
from services.providers.domain.json_objects import Json, decode_json, encode_json, sent_object
from services.providers.domain.sse import EventDecoder
from tollway.chat.v1 import chat_pb2


class StreamDecoder:
    """Takes the pieces of one stream, and gives out chunks.

    There is one answer, however many were asked for: `choices` says nothing here. `max_event` is the most bytes that
    one event may have, and that one block may gather that is only told whole.
    """

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far that say anything; pings are none."""
        self.content_seen = False
        """Whether there was text, thinking or a tool call yet."""
        self.done = False
        """The end was here, or an error: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self.complete = False
        """Whether the answer came to its finish reason."""
        self._sse = EventDecoder(max_event)
        self._limit = max_event
        self._usage: Json = {}
        self._blocks: dict[int, Block] = {}
        self._parts = self._calls = 0
        self._chunk = chat_pb2.ChatChunk()
        self._speaking: Plain | None = None
        """Whose text is in `_speech`, which belongs into one delta."""
        self._speech: list[str] = []

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """The chunks in a piece of the stream: none where it completes no event, and one otherwise."""
        try:
            for kind, text in self._sse.feed(data):
                if not self.done:
                    self._read(kind, sent_object(text))
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is not one of a message ({type(error).__name__})"))
        if self._sse.overflown and not self.done:
            self._end(malformed("the provider sent an event of more bytes than are read"))
        self._end_speech()
        chunk = self._chunk
        if not chunk.deltas and not chunk.ByteSize():
            return []
        self._chunk = chat_pb2.ChatChunk()
        return [chunk]

    def _read(self, name: bytes, event: Json) -> None:
        kind = event.get("type") or name.decode()
        if kind == "content_block_delta":  # nearly all are
            self.events += 1
            self._delta(self._blocks[event["index"]], event["delta"])
        elif kind != "ping":
            self.events += 1
            self._rarer(kind, event)

    def _rarer(self, kind: str, event: Json) -> None:
        if kind == "content_block_start":
            self._open(event["index"], event["content_block"])
        elif kind == "content_block_stop":
            self._close(self._blocks.pop(event["index"]))
        elif kind == "message_start":
            self._begin(event["message"])
        elif kind == "message_delta":
            self._finish(event)
        elif kind == "message_stop":
            self._end(None if self.complete else cut())
        elif kind == "error":
            self._end(named_error(event))
        # Others may be added at any time, as the documentation says, and are to be passed over.

    def _end(self, error: TollwayError | None) -> None:
        self.done, self.error = True, error

    def _delta(self, block: Block, delta: Json) -> None:
        if isinstance(block, Plain) and (text := block.text_in(delta)) is not None:
            if self._speaking is not block:
                self._end_speech()
                self._speaking = block
            self._speech.append(text)
            if text:
                self.content_seen = True
            return
        if isinstance(block, Opaque):
            block.gather(delta, self._limit)
            return
        block.read(delta, self._add())
        if isinstance(block, ToolUse):
            self.content_seen = True

    def _add(self) -> chat_pb2.Delta:
        self._end_speech()
        return self._chunk.deltas.add()

    def _end_speech(self) -> None:
        if self._speaking is not None:
            if text := "".join(self._speech):
                self._speaking.say(text, self._chunk.deltas.add())
            self._speaking = None
            self._speech.clear()

    def _open(self, index: int, start: Json) -> None:
        if start["type"] == "tool_use":
            place, self._calls = self._calls, self._calls + 1
        else:
            place, self._parts = self._parts, self._parts + 1
        block = self._blocks[index] = opened(start, place)
        delta = chat_pb2.Delta()
        if block.begin(delta):
            self._add().CopyFrom(delta)
            self.content_seen = True

    def _close(self, block: Block) -> None:
        delta = chat_pb2.Delta()
        if block.end(delta):
            self._add().CopyFrom(delta)
            self.content_seen = True

    def _begin(self, message: Json) -> None:
        self._usage = message.pop("usage", None) or {}
        message.pop("content", None)
        self._add().role = chat_pb2.ROLE_ASSISTANT
        read_finish(message, chat_pb2.Delta())  # it has none yet
        self._chunk.dialect = NAME
        self._chunk.extra_json = identify(message, self._chunk)

    def _finish(self, event: Json) -> None:
        """Why the answer ended, and what it took. Some servers say the reason again with later counts."""
        delta, ending = chat_pb2.Delta(), event.pop("delta")
        read_finish(ending, chat_pb2.Delta() if self.complete else delta)
        delta.choice_extra_json = kept(ending)
        self.complete = self.complete or bool(delta.finish_reason)
        if delta.ByteSize():
            self._add().CopyFrom(delta)
        if usage := event.pop("usage", None):
            self._usage.update({name: count for name, count in usage.items() if count is not None})
            self._chunk.usage.Clear()
            read_usage(self._usage, self._chunk.usage)
        event.pop("type", None)
        if left := kept(event):
            before = decode_json(self._chunk.extra_json or b"{}")
            self._chunk.extra_json = encode_json({**before, **decode_json(left)})
