"""A streamed answer, from `tollway.chat.v1` chunks to OpenAI's text completion events.

As in a chat's stream, the last event also carries the `tollway` object, so that one which may be the last is held back:
none is while a choice has not ended.
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
from gateway_http.openai_chat.response import billed_tier, finish_json, usage_json
from gateway_http.openai_completions.response import beside, logprobs_json
from gateway_http.receipt import receipt_json
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

_SILENT = {"index", "role"}
_END = b"\n\n"
_DONE = b"data: [DONE]\n\n"


class TextEncoder:
    """The events of one stream: `encode` each chunk, then `finish` once. Implements `dialect.StreamWriter`.

    The identity stands in for what the provider leaves out, `echo` before each choice's text.
    """

    def __init__(self, identity: Identity, echo: str, *, include_usage: bool) -> None:
        self._envelope: dict[str, Any] = {
            "id": f"cmpl-{identity.request_id}",
            "object": "text_completion",
            "created": int(identity.now),
            "model": identity.model,
        }
        self._named = False
        self._echo, self._include_usage = echo, include_usage
        self._dialect = ""
        self._usage: pb.Usage | None = None
        self._extra: dict[str, Any] = {}
        self._shown: dict[int, Shown] = {}
        self._written: dict[int, int] = {}
        """Characters of each choice's text."""
        self._ended: set[int] = set()
        self._held: dict[str, Any] | None = None

    def stand_in(self, request_id: str) -> None:
        """The answer is another request's: where its provider did not name it, it is called what it was called then."""
        self._envelope["id"] = f"cmpl-{request_id}"

    def encode(self, chunk: pb.ChatChunk) -> bytes:
        """The events to write now, maybe none."""
        self._read_envelope(chunk)
        events: list[dict[str, Any]] = []
        for delta in chunk.deltas:
            fields = {field.name for field, _ in delta.ListFields()}
            if not fields <= _SILENT:
                self._put(self._choice(delta, fields), events)
        return _written(events)

    def finish(self, receipt: Receipt, trace_id: str) -> bytes:
        """The last events and the end mark; the last event carries the receipt, as the `tollway` object.

        Raises UPSTREAM_CUT where a choice has no finish reason: what is cut must not look finished.
        """
        if self._held is None:
            raise TollwayError(Reason.UPSTREAM_CUT, "the answer ended without a finish reason")
        events = [self._held]
        if self._include_usage and self._usage is not None:
            events.append({**self._envelope, "choices": [], "usage": usage_json(self._usage, self._dialect)})
        last = encode_json({**events.pop(), **self._extra})
        told = b"data: " + last[:-1] + b',"tollway":' + receipt_json(receipt, trace_id) + b"}" + _END
        return _written(events) + on_one_line_each(told) + _DONE

    def failing(self, errors: ErrorShape) -> ErrorShape:
        return errors

    def _read_envelope(self, chunk: pb.ChatChunk) -> None:
        """Takes what a chunk says of the whole answer. Id, time and model stay what the first chunk said."""
        self._dialect = chunk.dialect or self._dialect
        if not self._named:
            self._named = True
            said = {"id": chunk.id, "created": chunk.create_time.seconds, "model": chunk.model}
            self._envelope.update({name: value for name, value in said.items() if value})
        for name in ("service_tier", "system_fingerprint"):
            if value := getattr(chunk, name):
                self._envelope[name] = value
        if chunk.HasField("usage"):
            self._usage = chunk.usage
            if tier := billed_tier(chunk.usage):
                self._envelope.setdefault("service_tier", tier)
        put_extra(self._extra, chunk.extra_json, self._dialect, OWN)
        for name in (*self._envelope, "choices", "usage", "tollway"):
            self._extra.pop(name, None)  # these an event says itself

    def _choice(self, delta: pb.Delta, fields: set[str]) -> dict[str, Any]:
        index = delta.index
        before = "" if index in self._shown else self._echo
        if index not in self._shown:
            self._shown[index] = Shown(Sources())
        said = self._shown[index].delta_json(delta, fields, self._dialect)
        text = before + said.pop("content", "")
        offset = self._written.get(index, 0)
        self._written[index] = offset + len(text)
        logprobs = logprobs_json(delta.logprobs, offset + len(before)) if "logprobs" in fields else None
        result = {
            "text": text,
            "index": index,
            "logprobs": logprobs,
            **finish_json(delta.finish_reason, delta.native_finish_reason, delta.stop_sequence),
            **beside(said),
        }
        put_extra(result, delta.choice_extra_json, self._dialect, OWN)
        return result

    def _put(self, choice: dict[str, Any], events: list[dict[str, Any]]) -> None:
        event = {
            **self._envelope,
            "choices": [choice],
            **({"usage": None} if self._include_usage else {}),
            **self._extra,
        }
        self._extra = {}
        if choice["finish_reason"] is not None:
            self._ended.add(choice["index"])
        if self._held is not None:
            events.append(self._held)
        self._held = event if self._shown.keys() <= self._ended else None
        if self._held is None:
            events.append(event)


def _written(events: list[dict[str, Any]]) -> bytes:
    return on_one_line_each(b"".join(b"data: " + encode_json(event) + _END for event in events))
