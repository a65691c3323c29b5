"""A streamed answer, from `tollway.chat.v1` chunks to the events of OpenAI's Responses.

The last event holds the whole answer, its usage and the `tollway` object. Almost every other is a piece of text, for
which all that stands around it is made once.
"""

from __future__ import annotations

from typing import Any

from gateway_http.dialect import Identity
from gateway_http.exchange import ErrorShape
from gateway_http.json_output import decode_json, encode_json, put_back
from gateway_http.openai_chat.response import billed_tier
from gateway_http.openai_responses.events import Events
from gateway_http.openai_responses.failing import InBand, error_fields
from gateway_http.openai_responses.items import OWN
from gateway_http.openai_responses.output import OF_ITEM, Choice, Output
from gateway_http.openai_responses.response import About, about, ended, response_json, usage_json
from gateway_http.receipt import receipt_json
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

_TEXT = pb.Delta.DESCRIPTOR.fields_by_name["text"]
_FILLER = "obfuscation"
"""Says nothing, at a length that hides how long what is said is."""


class EventEncoder:
    """The events of one stream: `encode` each chunk, then `finish` once. Implements `dialect.StreamWriter`.

    The identity stands in for what the provider leaves out; `settings` is what an answer repeats of the question.
    """

    def __init__(self, identity: Identity, settings: dict[str, Any]) -> None:
        self._identity, self._settings = identity, settings
        self._about: About | None = None
        self._events = Events()
        self._output = Output(identity.request_id, self._events)
        self._dialect = self._fingerprint = ""
        self._usage: pb.Usage | None = None
        self._begun: set[int] = set()
        self._ends: dict[int, dict[str, Any]] = {}
        self._beside: dict[str, Any] = {}
        """Fields without a place, for the last event."""

    def stand_in(self, request_id: str) -> None:
        """The answer is another request's: where its provider did not name it, it is called what it was called then."""
        self._identity = self._identity._replace(request_id=request_id)
        self._output = Output(request_id, self._events)

    def encode(self, chunk: pb.ChatChunk) -> bytes:
        """The events to write now, maybe none."""
        self._read_envelope(chunk)
        for delta in chunk.deltas:
            fields = delta.ListFields()
            if len(fields) == 1 and fields[0][0] is _TEXT and (speech := self._output.choice(0).going_on(0)):
                speech.say(fields[0][1], 0)
            elif fields:
                self._encode_delta(delta)
        return self._events.take()

    def finish(self, receipt: Receipt, trace_id: str) -> bytes:
        """The last event, which carries the receipt, as the `tollway` object.

        Raises UPSTREAM_CUT where a choice has no finish reason: what is cut must not look finished.
        """
        if not self._ends or self._begun - self._ends.keys():
            raise TollwayError(Reason.UPSTREAM_CUT, "the answer ended without a finish reason")
        end = self._ends[min(self._ends)]
        told = b',"tollway":' + receipt_json(receipt, trace_id)
        self._events.add(f"response.{end['status']}", {"response": self._response(**end)}, told)
        return self._events.take()

    def failing(self, errors: ErrorShape) -> ErrorShape:
        return InBand(errors, self.fail)

    def fail(self, error: TollwayError, trace_id: str) -> bytes:
        """What has been said so far, as a response that failed; and the error."""
        self._output.break_off()
        fields = error_fields(error, trace_id)
        response = self._response(status="failed", error=fields["of_response"])
        self._events.add("response.failed", {"response": response})
        self._events.add("error", fields["of_event"])
        return self._events.take()

    def _response(self, **fields: Any) -> dict[str, Any]:
        assert self._about is not None
        usage = usage_json(self._usage, self._dialect) if self._usage is not None else None
        if self._fingerprint:
            fields["system_fingerprint"] = self._fingerprint
        said = response_json(self._about, self._settings, output=self._output.items, usage=usage, **fields)
        put_back(said, encode_json(self._beside))
        return said

    def _read_envelope(self, chunk: pb.ChatChunk) -> None:
        """Takes what a chunk says of the whole answer. Id, time and model stay what the first chunk said."""
        self._dialect = chunk.dialect or self._dialect
        billed = ""
        if chunk.HasField("usage"):
            self._usage, billed = chunk.usage, billed_tier(chunk.usage)
        self._fingerprint = chunk.system_fingerprint or self._fingerprint
        self._keep(chunk.extra_json)
        if self._about is None:
            self._about = about(chunk, self._identity)
            for kind in ("response.created", "response.in_progress"):
                self._events.add(kind, {"response": response_json(self._about, self._settings)})
        elif tier := chunk.service_tier or (not self._about.service_tier and billed):
            self._about = self._about._replace(service_tier=tier)

    def _keep(self, extra_json: bytes, saying: Choice | None = None) -> None:
        """For the last event; what is of the item that is growing, for that."""
        if not extra_json:
            return
        extra = decode_json(extra_json)
        extra.pop(_FILLER, None)
        if self._dialect == OWN:
            if saying is not None:
                saying.beside(extra.pop(OF_ITEM, {}))
            grow(self._beside, extra)
        elif extra:
            grow(self._beside, {self._dialect or "openai": extra})

    def _encode_delta(self, delta: pb.Delta) -> None:
        saying, place = self._output.choice(delta.index), delta.part
        self._begun.add(delta.index)
        if delta.HasField("reasoning"):
            saying.think(delta.reasoning, place)
        if delta.text or delta.logprobs.content:
            saying.say(delta.text, place, delta.logprobs)
        if delta.refusal or delta.logprobs.refusal:
            saying.refuse(delta.refusal, place, delta.logprobs)
        for part in delta.parts:
            saying.add(part, place, self._dialect)
        if delta.citations:
            saying.cite(list(delta.citations), place, self._dialect)
        for call in delta.tool_calls:
            saying.call(call.index, call, self._dialect)
        self._keep(delta.extra_json, saying)
        self._keep(delta.choice_extra_json)
        if delta.finish_reason and delta.index not in self._ends:
            self._ends[delta.index] = ended(delta.finish_reason, delta.native_finish_reason, delta.stop_sequence)
            saying.finish(delta.finish_reason)


def grow(target: dict[str, Any], extra: dict[str, Any]) -> None:
    """Adds fields that come in pieces: texts and lists are joined, of anything else the last one counts."""
    for name, value in extra.items():
        there: Any = target.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            grow(there, value)
        elif type(there) is type(value) and isinstance(value, (str, list)):
            target[name] = there + value
        else:
            target[name] = value
