"""ConverseStream's events, from bytes to chunks.

Events that are in one piece of the stream leave in one chunk, and in one delta where they add text to the same block.
Where the pieces were cut changes nothing but that. What has no place in a delta is held back until its block is whole.
"""

from __future__ import annotations

from mesh.errors import TollwayError
from services.providers.adapters.bedrock.citations import keep_citation
from services.providers.adapters.bedrock.errors import event_error
from services.providers.adapters.bedrock.held import HeldBlock
from services.providers.adapters.bedrock.response import (
    DIALECT,
    NOT_UNDERSTOOD,
    finish,
    keep_around,
    keep_stop_sequence,
)
from services.providers.domain.chunks import Chunks
from services.providers.domain.event_stream import Message, MessageDecoder
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object
from tollway.chat.v1 import chat_pb2


class StreamDecoder:
    """Takes the pieces of one stream, and gives out chunks.

    Converse gives one answer, however many `choices` were asked for. `max_event` is the most bytes an event may have,
    and the most that are held back of a block.
    """

    def __init__(self, choices: int, max_event: int) -> None:
        self.events = 0
        """How many there were so far."""
        self.content_seen = False
        """Whether there was text, reasoning or a tool call yet. A bare role is none of them."""
        self.done = False
        """All that was due was here, or an error: nothing more is read."""
        self.error: TollwayError | None = None
        """What ended the stream in place of an answer. What `feed` gave out came before it."""
        self._choices, self._limit = choices, max_event
        self._messages = MessageDecoder(max_event)
        self._finished = False
        self._begun = False
        self._calls: dict[int, int] = {}
        """The place of a block among the tool calls, by its place among the blocks."""
        self._wordless: set[int] = set()
        """The blocks of calls that have no arguments yet."""
        self._held: dict[int, HeldBlock] = {}
        self._chunks = Chunks()

    @property
    def complete(self) -> bool:
        """Whether the answer came to its finish reason."""
        return self._finished and self._choices <= 1

    def feed(self, data: bytes) -> list[chat_pb2.ChatChunk]:
        """The chunks in a piece of the stream: none where it completes no event, and rarely more than one."""
        messages, wrong = self._messages.feed(data)
        self.events += len(messages)
        try:
            for message in messages:
                self._read(message)
                if self.done:
                    break
        except NOT_UNDERSTOOD as error:
            self._end(malformed(f"the provider sent an event that is not Converse's ({type(error).__name__})"))
        if wrong is not None and not self.done:
            self._end(malformed(f"the provider's stream cannot be read: {wrong}"))
        return self._chunks.take()

    def _end(self, error: TollwayError | None) -> None:
        self.done, self.error = True, error

    def _read(self, message: Message) -> None:
        headers = message.headers
        kind = headers.get(":message-type", "event")
        if kind == "exception":
            self._end(event_error(str(headers.get(":exception-type", "")), message.payload))
        elif kind == "error":
            said = str(headers.get(":error-message", ""))
            self._end(event_error(str(headers.get(":error-code", "")), b"", said))
        else:
            event = sent_object(message.payload or b"{}")
            event.pop("p", None)  # filler, which hides how long the rest is
            self._event(str(headers.get(":event-type", "")), event)

    def _event(self, kind: str, event: Json) -> None:
        if kind == "contentBlockDelta":
            self._delta(event.pop("delta"), event.pop("contentBlockIndex", 0), event)
        elif kind == "contentBlockStart":
            self._start(event.pop("start"), event.pop("contentBlockIndex", 0))
        elif kind == "contentBlockStop":
            self._stop(event.pop("contentBlockIndex", 0))
        elif kind == "messageStart":
            self._begin(event)
        elif kind == "messageStop":
            self._finish(event)
        elif kind == "metadata":
            keep_around(event, self._chunks.chunk)
            self._chunks.keep(event)
            self.done = self._finished
        elif kind != "initial-response":
            self._chunks.keep({kind: event})

    def _begin(self, event: Json) -> None:
        event.pop("role", None)
        if not self._begun:
            self._begun = True
            self._chunks.chunk.dialect = DIALECT
            self._chunks.add().role = chat_pb2.ROLE_ASSISTANT
        self._chunks.keep(event)

    def _finish(self, event: Json) -> None:
        if self._finished:
            raise ValueError("the answer ended twice")
        into = self._chunks.add()
        finish(event.pop("stopReason"), into)
        keep_stop_sequence(event, into)
        self._finished = True
        self._chunks.keep(event)

    def _start(self, start: Json, block: int) -> None:
        use = start.get("toolUse")
        if use is None or "type" in use:
            if start:
                self._held[block] = HeldBlock(start)
            return
        self._calls[block] = len(self._calls)
        into = self._chunks.add().tool_calls.add()
        into.index, into.type = self._calls[block], "function"
        into.id, into.name = use.pop("toolUseId"), use.pop("name")
        self._wordless.add(block)
        if use:
            into.extra_json = encode_json({"toolUse": use})
        self.content_seen = True

    def _delta(self, delta: Json, block: int, beside: Json) -> None:
        if block in self._calls:
            self._argue(delta.pop("toolUse").pop("input"), block)
        elif (text := delta.pop("text", None)) is not None:
            self._say(text, block)
        elif thought := delta.pop("reasoningContent", None):
            self._think(thought, block)
        elif citation := delta.pop("citation", None):
            keep_citation(citation, self._chunks.add(block).citations.add())
        elif delta:
            self._hold(delta, block)
            return
        if delta or beside:
            self._chunks.add(block).extra_json = encode_json({**beside, **delta})

    def _say(self, text: str, block: int) -> None:
        self._chunks.say(text, block)
        self.content_seen = self.content_seen or text != ""

    def _argue(self, arguments: str, block: int) -> None:
        self._chunks.add().tool_calls.add(index=self._calls[block], arguments=arguments)
        if arguments:
            self._wordless.discard(block)

    def _think(self, thought: Json, block: int) -> None:
        self.content_seen = True
        if (encrypted := thought.pop("redactedContent", None)) is not None:
            self._hold({"redactedContent": encrypted}, block)
        text, signature = thought.pop("text", None), thought.pop("signature", None)
        if text or signature or thought:
            into = self._chunks.add(block)
            if text:
                into.reasoning.text = text
            if signature:
                into.reasoning.signature, into.reasoning.issuer = signature, DIALECT
            if thought:
                into.extra_json = encode_json({"reasoningContent": thought})

    def _hold(self, delta: Json, block: int) -> None:
        self.content_seen = True
        held = self._held.setdefault(block, HeldBlock({}))
        held.add(delta)
        if held.size > self._limit:
            self._end(malformed("the provider sent a block of more bytes than are held"))

    def _stop(self, block: int) -> None:
        if (held := self._held.pop(block, None)) is not None:
            self.content_seen = True
            held.put(self._chunks.add(block))
        elif block in self._wordless:
            self._argue("{}", block)  # a call without any is told by saying nothing
