"""A streamed answer, from `tollway.chat.v1` chunks to OpenAI's server-sent events.

Almost every event is a piece of text, so what stands around the text is made once per stream and such an event is three
byte strings. Everything else takes the long way through dictionaries.

An event that may be the stream's last is held back until the next one, or the end: the last one also carries the
`tollway` object, which is known at the end alone. Events may be the last from the moment on that every choice has its
finish reason, so no text is delayed.
"""

from __future__ import annotations

from typing import Any

from gateway_http.dialect import Identity
from gateway_http.event_lines import on_one_line_each
from gateway_http.exchange import ErrorShape
from gateway_http.foreign import put_extra
from gateway_http.json_output import encode_json
from gateway_http.openai_chat.annotations import Sources
from gateway_http.openai_chat.delta import Shown
from gateway_http.openai_chat.reasoning import OWN
from gateway_http.openai_chat.response import ROLES, billed_tier, finish_json, logprobs_json, usage_json
from gateway_http.receipt import receipt_json
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

_TEXT = pb.Delta.DESCRIPTOR.fields_by_name["text"]
_BARE_ROLE = {"index", "role"}
_OURS = {"id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage", "tollway"}
"""What an event says itself: another Tollway behind this one sends a `tollway`, too."""
_END = b"}\n\n"
_DONE = b"data: [DONE]\n\n"


class ChunkEncoder:
    """The events of one stream: `encode` each chunk, then `finish` once.

    The identity stands in for what the provider leaves out.
    """

    def __init__(self, identity: Identity, *, include_usage: bool) -> None:
        self._id, self._model = f"chatcmpl-{identity.request_id}", identity.model
        self._created = int(identity.now)
        self._tier = self._fingerprint = ""
        self._include_usage = include_usage
        self._usage: pb.Usage | None = None
        self._dialect = ""
        self._extra: dict[str, Any] = {}
        """Fields without a place, for the next event."""
        self._prefix = b""
        """An event up to its choices; empty until the first chunk has said what stands there."""
        self._text_prefix = b""
        """An event of choice 0 up to its text."""
        self._usage_null = b',"usage":null' if include_usage else b""
        self._text_suffix = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null + _END
        self._roles: dict[int, str] = {}
        self._sources = Sources()
        """What the text of choice 0 is taken from."""
        self._shown: dict[int, Shown] = {}
        """What each choice that has begun has shown beside its text."""
        self._running: set[int] = set()
        """Choices that have begun and have no finish reason yet."""
        self._plain = False
        """Whether a piece of text for choice 0 needs nothing beside it."""
        self._held: bytes | None = None
        """The event that may be the last, without its end. There is one only while no choice is running."""

    def stand_in(self, request_id: str) -> None:
        """The answer is another request's: where its provider did not name it, it is called what it was called then."""
        self._id = f"chatcmpl-{request_id}"

    def encode(self, chunk: pb.ChatChunk) -> bytes:
        """The events to write now, maybe none."""
        self._read_envelope(chunk)
        events: list[bytes] = []
        before, behind = self._text_prefix, self._text_suffix
        for delta in chunk.deltas:
            fields = delta.ListFields()
            if len(fields) == 1 and fields[0][0] is _TEXT and (self._plain or self._begin_plainly(events)):
                text = fields[0][1]
                self._sources.said += len(text)
                events += (before, encode_json(text), behind)
            elif fields:
                self._encode_delta(delta, {field.name for field, _ in fields}, events)
        return on_one_line_each(b"".join(events))

    def finish(self, receipt: Receipt, trace_id: str) -> bytes:
        """The last events and the end mark; the last event carries the receipt, as the `tollway` object.

        Raises UPSTREAM_CUT where a choice has no finish reason: what is cut must not look finished.
        """
        if self._held is None:
            raise TollwayError(Reason.UPSTREAM_CUT, "the answer ended without a finish reason")
        events: list[bytes] = []
        if self._include_usage and self._usage is not None:
            self._put(self._prefix + b'],"usage":' + encode_json(usage_json(self._usage, self._dialect)), events)
        events += (self._held, self._take_extra(), b',"tollway":', receipt_json(receipt, trace_id), _END, _DONE)
        return on_one_line_each(b"".join(events))

    def failing(self, errors: ErrorShape) -> ErrorShape:
        return errors

    def _read_envelope(self, chunk: pb.ChatChunk) -> None:
        """Takes what a chunk says of the whole answer. Id, time and model stay what the first chunk said."""
        self._dialect = chunk.dialect or self._dialect
        tier, fingerprint = chunk.service_tier or self._tier, chunk.system_fingerprint or self._fingerprint
        if chunk.HasField("usage"):
            self._usage = chunk.usage
            tier = tier or billed_tier(chunk.usage)
        if not self._prefix:
            self._id, self._model = chunk.id or self._id, chunk.model or self._model
            self._created = chunk.create_time.seconds or self._created
            self._write_prefix(tier, fingerprint)
        elif tier != self._tier or fingerprint != self._fingerprint:
            self._write_prefix(tier, fingerprint)
        if chunk.extra_json:
            put_extra(self._extra, chunk.extra_json, self._dialect, OWN)
            for name in _OURS & self._extra.keys():
                del self._extra[name]
            self._plain = False

    def _write_prefix(self, tier: str, fingerprint: str) -> None:
        self._tier, self._fingerprint = tier, fingerprint
        envelope: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        if tier:
            envelope["service_tier"] = tier
        if fingerprint:
            envelope["system_fingerprint"] = fingerprint
        self._prefix = b"data: " + encode_json(envelope)[:-1] + b',"choices":['
        self._text_prefix = self._prefix + b'{"index":0,"delta":{"content":'

    def _encode_delta(self, delta: pb.Delta, fields: set[str], events: list[bytes]) -> None:
        index = delta.index
        if "role" in fields:
            self._roles.setdefault(index, ROLES[delta.role])
        if fields <= _BARE_ROLE:
            return  # it is said with what comes first
        begins = index not in self._shown
        if begins:
            self._shown[index] = Shown(Sources() if index else self._sources)
        content = self._shown[index].delta_json(delta, fields, self._dialect)
        if begins:
            content = self._begin(index, content, events)
        if delta.finish_reason:
            self._running.discard(index)
        choice = {
            "index": index,
            "delta": content,
            "logprobs": logprobs_json(delta.logprobs) if "logprobs" in fields else None,
            **finish_json(delta.finish_reason, delta.native_finish_reason, delta.stop_sequence),
        }
        put_extra(choice, delta.choice_extra_json, self._dialect, OWN)
        self._put_choice(choice, events)
        self._plain = 0 in self._running

    def _begin_plainly(self, events: list[bytes]) -> bool:
        """Begins choice 0, where it has not begun: whatever waits for an event is said with its role."""
        if 0 in self._shown:
            return False
        self._shown[0] = Shown(self._sources)
        self._begin(0, {}, events)
        self._plain = True
        return True

    def _begin(self, index: int, content: dict[str, Any], events: list[bytes]) -> dict[str, Any]:
        """Says the choice's role as OpenAI does: beside a tool call, in an event of its own before anything else."""
        self._running.add(index)
        role = self._roles.get(index, "assistant")
        if "tool_calls" in content and "content" not in content:
            return {"role": role, "content": None, **content}
        first = {"role": role, "content": "", "refusal": None}
        self._put_choice({"index": index, "delta": first, "logprobs": None, "finish_reason": None}, events)
        return content

    def _put_choice(self, choice: dict[str, Any], events: list[bytes]) -> None:
        self._put(self._prefix + encode_json(choice) + b"]" + self._usage_null + self._take_extra(), events)

    def _put(self, event: bytes, events: list[bytes]) -> None:
        if self._held is not None:
            events += (self._held, _END)
        self._held = None if self._running else event
        if self._running:
            events += (event, _END)

    def _take_extra(self) -> bytes:
        if not self._extra:
            return b""
        extra = encode_json(self._extra)
        self._extra = {}
        return b"," + extra[1:-1]
