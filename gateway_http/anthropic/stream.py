"""A streamed answer, from `tollway.chat.v1` chunks to Anthropic's server-sent events.

Source: Anthropic's documentation of streaming. Almost every event is a piece of text, so what stands around the text is
made once per block and such an event is three byte strings. Everything else takes the long way through `Blocks`.

`message_delta`, which says why the answer ended and what it took, is written at the very end: it also carries the
`tollway` object. Of several choices the stream tells the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_http.anthropic.blocks import Blocks, CallBlock, event
from gateway_http.anthropic.citations import PLACES, citation_json
from gateway_http.anthropic.response import (
    DIALECT,
    envelope,
    part_blocks,
    reasoning_blocks,
    stop_json,
    tool_block,
    usage_json,
)
from gateway_http.dialect import Identity
from gateway_http.event_lines import on_one_line_each
from gateway_http.exchange import ErrorShape
from gateway_http.foreign import put_extra
from gateway_http.json_output import decode_json, encode_json
from gateway_http.receipt import receipt_json
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

_TEXT = pb.Delta.DESCRIPTOR.fields_by_name["text"]
_PART = pb.Delta.DESCRIPTOR.fields_by_name["part"]
_TEXT_END = b"}}\n\n"
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class EventEncoder:
    """The events of one stream: `encode` each chunk, then `finish` once. Implements `dialect.StreamWriter`.

    The identity stands in for what the provider leaves out.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._dialect = ""
        self._begun = False
        self._blocks = Blocks()
        self._text_before = b""
        """An event of the open text up to its text."""
        self._plain = -1
        """How many fields a delta has that says a piece of the open text and nothing else; none while none is open."""
        self._place: tuple[Any, int] = (_PART, 0)
        """The field that says which part of the answer the open text is; a delta of the first part is without."""
        self._refused = False
        self._end: pb.Delta | None = None
        self._usage: pb.Usage | None = None
        self._tier = ""
        self._ending: dict[str, Any] = {}
        """What the end says of why it is one, beyond the reason."""
        self._beside: dict[str, Any] = {}
        """Fields without a place that came after the start, for the event at the end."""
        self._opening: dict[str, Any] = {}
        """Fields of Anthropic's own for the block that begins next."""

    def stand_in(self, request_id: str) -> None:
        """The answer is another request's: where its provider did not name it, it is called what it was called then."""
        self._identity = self._identity._replace(request_id=request_id)

    def encode(self, chunk: pb.ChatChunk) -> bytes:
        """The events to write now, maybe none. Raises UPSTREAM_MALFORMED for calls that go on after their end."""
        events: list[bytes] = []
        self._read_envelope(chunk, events)
        for delta in chunk.deltas:
            fields = delta.ListFields()
            count = len(fields)
            if count == self._plain and fields[0][0] is _TEXT and (count == 1 or fields[1] == self._place):
                events += (self._text_before, encode_json(fields[0][1]), _TEXT_END)
            elif fields and not delta.index:
                self._encode_delta(delta, events)
        return on_one_line_each(b"".join(events))

    def finish(self, receipt: Receipt, trace_id: str) -> bytes:
        """The last events. Raises UPSTREAM_CUT where there is no finish reason: what is cut must not look finished."""
        if self._end is None:
            raise TollwayError(Reason.UPSTREAM_CUT, "the answer ended without a finish reason")
        events: list[bytes] = []
        self._blocks.close(events)
        delta = {**self._opening, **self._ending, **stop_json(self._end, self._dialect, refused=self._refused)}
        usage = usage_json(self._usage, self._tier, self._dialect)
        self._beside.pop("tollway", None)  # another Tollway behind this one sends it, too
        told = encode_json({**self._beside, "type": "message_delta", "delta": delta, "usage": usage})
        tollway = receipt_json(receipt, trace_id)
        events.append(b'event: message_delta\ndata: %b,"tollway":%b}\n\n' % (told[:-1], tollway))
        events.append(_STOP)
        return on_one_line_each(b"".join(events))

    def failing(self, errors: ErrorShape) -> ErrorShape:
        return errors

    def _read_envelope(self, chunk: pb.ChatChunk, events: list[bytes]) -> None:
        """Takes what a chunk says of the whole answer. Id and model stay what the first chunk said."""
        if chunk.HasField("usage"):
            self._usage = chunk.usage
        self._tier = chunk.service_tier or self._tier
        if not self._begun:
            self._begun = True
            self._dialect = chunk.dialect
            events += (self._message_start(chunk), _PING)
        elif chunk.extra_json:
            put_extra(self._beside, chunk.extra_json, self._dialect, DIALECT)

    def _message_start(self, chunk: pb.ChatChunk) -> bytes:
        """Usage that comes later is zeros until then."""
        message = {
            **envelope(chunk, self._identity),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_json(self._usage or pb.Usage(), self._tier, self._dialect),
        }
        put_extra(message, chunk.extra_json, self._dialect, DIALECT)
        return event("message_start", {"message": message})

    def _encode_delta(self, delta: pb.Delta, events: list[bytes]) -> None:
        if delta.extra_json or delta.choice_extra_json:
            self._keep_extra(delta, events)
        if delta.reasoning.ByteSize():
            self._think(delta.reasoning, delta.part, events)
        if delta.text:
            self._say("text", delta.part, delta.text, events, self._citations(delta.citations))
        elif delta.citations:
            self._cite(delta, events)
        if delta.refusal:
            self._refused = True
            self._say("refusal", delta.part, delta.refusal, events)
        for call in delta.tool_calls:
            self._call(call, events)
        for part in delta.parts:
            for block in part_blocks(part, self._dialect):
                self._blocks.add_whole(block, events)
        if delta.finish_reason and self._end is None:
            self._end = delta
        self._find_plain()

    def _say(
        self, kind: str, part: int, text: str, events: list[bytes], citations: list[dict[str, Any]] | None = None
    ) -> None:
        pieces: list[dict[str, Any]] = [{"type": "text_delta", "text": text}] if text else []
        pieces += [{"type": "citations_delta", "citation": citation} for citation in citations or ()]
        begin: dict[str, Any] = {"type": "text", "text": ""}
        if citations:
            begin["citations"] = []
        self._begin_or_go_on((kind, part), begin, pieces, events)

    def _cite(self, delta: pb.Delta, events: list[bytes]) -> None:
        """What is told of a text that others have followed is told of the last: a block that has ended stays so.

        Which characters it was about means nothing there.
        """
        speaking, part, citations = self._blocks.speaking, delta.part, self._citations(delta.citations)
        if isinstance(speaking, tuple) and speaking[0] == "text" and speaking[1] > part:
            part = speaking[1]
            citations = [{name: value for name, value in each.items() if name not in PLACES} for each in citations]
        self._say("text", part, "", events, citations)

    def _citations(self, citations: Iterable[pb.Citation]) -> list[dict[str, Any]]:
        return [citation_json(citation, self._dialect) for citation in citations]

    def _begin_or_go_on(
        self, key: tuple[str, int], begin: dict[str, Any], pieces: list[dict[str, Any]], events: list[bytes]
    ) -> None:
        if self._blocks.add(key, {**self._opening, **begin}, pieces, events):
            self._opening = {}

    def _think(self, reasoning: pb.ReasoningPart, part: int, events: list[bytes]) -> None:
        """Thinking ends with its proof: what comes after it is another thought."""
        for block in reasoning_blocks(reasoning, self._dialect):
            if block["type"] != "thinking":
                self._blocks.add_whole({**self._opening, **block}, events)
                self._opening = {}
                continue
            pieces = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block["thinking"] else []
            if block["signature"]:
                pieces.append({"type": "signature_delta", "signature": block["signature"]})
            begin = {"type": "thinking", "thinking": "", "signature": ""}
            self._begin_or_go_on(("thinking", part), begin, pieces, events)
            if block["signature"]:
                self._blocks.seal()

    def _call(self, call: pb.ToolCallDelta, events: list[bytes]) -> None:
        block = self._blocks.call(call.index)
        if block is not None:
            self._add_late(call, block)
        elif not self._blocks.has_written(call.index):
            block = self._blocks.begin_call(call.index, tool_block(call, call.index, self._dialect, self._identity))
        elif call.arguments.strip() or call.signature or call.extra_json:
            raise TollwayError(
                Reason.UPSTREAM_MALFORMED, f"tool call {call.index} went on after its arguments were whole"
            )
        else:
            return
        block.add(call.arguments)
        self._blocks.flush(events)

    def _add_late(self, call: pb.ToolCallDelta, block: CallBlock) -> None:
        """What a call is said to have after it has begun: in the block, where that waits, or as a piece of it."""
        if call.signature:
            block.pieces.append({"type": "signature_delta", "signature": call.signature})
        if call.extra_json:
            piece: dict[str, Any] = {"type": "input_json_delta", "partial_json": ""}
            put_extra(piece, call.extra_json, self._dialect, DIALECT)
            block.pieces.append(piece)

    def _keep_extra(self, delta: pb.Delta, events: list[bytes]) -> None:
        """Another dialect's fields are told when they come, in an event that no client reads more into."""
        if self._dialect != DIALECT:
            told: dict[str, Any] = {}
            for extra_json in (delta.extra_json, delta.choice_extra_json):
                put_extra(told, extra_json, self._dialect, DIALECT)
            events.append(event("ping", told))
            return
        put_extra(self._ending, delta.choice_extra_json, DIALECT, DIALECT)
        said: dict[str, Any] = decode_json(delta.extra_json or b"{}")
        if "type" in said and self._blocks.add_to_newest(said, events):
            return  # a delta of a kind that is new
        self._opening.update(said)

    def _find_plain(self) -> None:
        """Makes what stands before a piece of text, where such a piece can go out by itself."""
        speaking = self._blocks.speaking
        self._plain = -1
        if isinstance(speaking, tuple) and speaking[0] == "text":
            self._plain, self._place = (2 if speaking[1] else 1), (_PART, speaking[1])
            self._text_before = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"text_delta","text":' % self._blocks.index
            )
