"""An answer that the response cache keeps, and what is said of it each time it is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from services.router.domain import settlement
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta, FinishReason
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_CACHED,
    Attempt,
)
from tollway.router.v1.router_pb2 import (
    CacheOutcome,
    CreateChatCompletionResponse,
    Receipt,
    StreamChatCompletionResponse,
)

Response = CreateChatCompletionResponse | StreamChatCompletionResponse

_WHOLE = frozenset({
    FinishReason.FINISH_REASON_STOP,
    FinishReason.FINISH_REASON_TOOL_CALLS,
    FinishReason.FINISH_REASON_FUNCTION_CALL,
})  # fmt: skip
"""How an answer ends that has said all it had to say."""
_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_write_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer: when it was given (Unix time), by whom (`provider/model`), and the responses it came in, in order.

    The responses have no receipts: each time it is given, the answer has its own.
    """

    at: float
    deployment: str
    responses: Sequence[Response]


class Tape:
    """Takes an answer's responses in order; what is larger than `most` bytes is let go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._responses: list[Response] | None = []

    def add(self, response: Response) -> None:
        if self._responses is None:
            return
        self._size += response.ByteSize()
        self._responses.append(response)
        if self._size > self._most:
            self._responses = None

    def answer(self, choices: int, now: float) -> KeptAnswer | None:
        """The answer to a question for that many choices, if it is worth keeping: whole, and in one piece.

        One that was cut by a cap on tokens, or had content withheld, is not; nor one that broke off and was continued.
        """
        if not self._responses:
            return None
        receipt = self._responses[-1].receipt
        finishes = _finishes(self._responses)
        if receipt.continuations or len(finishes) < choices or not _WHOLE.issuperset(finishes.values()):
            return None
        return KeptAnswer(now, receipt.deployment, _without_receipts(self._responses))


def _finishes(responses: Iterable[Response]) -> dict[int, FinishReason.ValueType]:
    """Why each choice ended that did; an end that has no reason is one all the same."""
    finishes: dict[int, FinishReason.ValueType] = {}
    for response in responses:
        if isinstance(response, CreateChatCompletionResponse):
            finishes.update((choice.index, choice.finish_reason) for choice in response.chat.choices)
        else:
            finishes.update((each.index, each.finish_reason) for each in response.chunk.deltas if each.finish_reason)
    return finishes


def _without_receipts(responses: Sequence[Response]) -> list[Response]:
    first = responses[0]
    if isinstance(first, CreateChatCompletionResponse):
        return [CreateChatCompletionResponse(chat=first.chat)]
    chunks = [response.chunk for response in responses if isinstance(response, StreamChatCompletionResponse)]
    opening = [joined(chunks[:-1])] if len(chunks) > 1 else []
    return [StreamChatCompletionResponse(chunk=chunk) for chunk in (*opening, chunks[-1])]


def joined(chunks: Sequence[ChatChunk]) -> ChatChunk:
    """What arrived in many chunks, in one: the same deltas, with text in one where nothing stood in between."""
    whole, extra = ChatChunk(), dict[str, msgspec.Raw]()
    text: list[str] = []
    index = 0

    def put_text() -> None:
        if text:
            whole.deltas.add(index=index, text="".join(text))
            text.clear()

    for chunk in chunks:
        if len(chunk.ListFields()) > 1 or not chunk.deltas:
            envelope = ChatChunk()
            envelope.CopyFrom(chunk)
            envelope.ClearField("deltas")
            if envelope.extra_json:
                extra.update(_read_object(envelope.extra_json))
            whole.MergeFrom(envelope)
        for delta in chunk.deltas:
            if not _is_text_alone(delta):
                put_text()
                whole.deltas.add().CopyFrom(delta)
            else:
                if delta.index != index:
                    put_text()
                    index = delta.index
                text.append(delta.text)
    put_text()
    if extra:
        whole.extra_json = _write_json(extra)
    return whole


def _is_text_alone(delta: Delta) -> bool:
    return all(field.name in ("index", "text") for field, _ in delta.ListFields())


def hit_receipt(answer: KeptAnswer, request_id: str, trace_id: str, now: float) -> Receipt:
    """How an answer out of the cache came about."""
    receipt = Receipt(
        request_id=request_id,
        trace_id=trace_id,
        deployment=answer.deployment,
        cost_nanos=0,
        cache=CacheOutcome.CACHE_OUTCOME_HIT,
    )
    receipt.age.FromNanoseconds(round(max(now - answer.at, 0.0) * 1e9))
    return receipt


def with_receipt(responses: Sequence[Response], receipt: Receipt) -> list[Response]:
    """The responses of an answer as they are given: the receipt is in the first and in the last."""
    given: list[Response] = []
    for place, response in enumerate(responses):
        shown = receipt if place in (0, len(responses) - 1) else None
        if isinstance(response, CreateChatCompletionResponse):
            given.append(CreateChatCompletionResponse(chat=response.chat, receipt=shown))
        else:
            given.append(StreamChatCompletionResponse(chunk=response.chunk, receipt=shown))
    return given


def hit_row(row: Attempt, answer: KeptAnswer, model_provider: str, now: float) -> None:
    """Writes into the row of a question that is being opened that the answer is this one; it names who gave it then."""
    provider, _, model = answer.deployment.partition("/")
    row.kind = ATTEMPT_KIND_CACHE_HIT
    row.state = ATTEMPT_STATE_OPENED
    row.provider_name, row.model_used, row.deployment = provider, model, answer.deployment
    row.model_provider = model_provider
    row.attempt_number = 1
    settlement.set_time(row.start_time, now)


def settle_hit(row: Attempt, answer: KeptAnswer, now: float, took: float) -> None:
    """Writes into the row that the answer was given, which took that many seconds, and nothing else."""
    row.state, row.status = ATTEMPT_STATE_SETTLED, ATTEMPT_STATUS_OK
    row.usage.SetInParent()
    row.cost_nanos, row.provenance = 0, PROVENANCE_CACHED
    settlement.set_time(row.end_time, now)
    row.response_time_ms = row.time_to_first_token_ms = round(took * 1000)
    for finish in _finishes(answer.responses).values():
        row.finish_reason = FinishReason.Name(finish)
        break


def said(answer: KeptAnswer) -> tuple[str, str, list[FinishReason.ValueType]]:
    """The answer's id, its model, and why its choices ended."""
    first = answer.responses[0]
    told = first.chat if isinstance(first, CreateChatCompletionResponse) else first.chunk
    return told.id, told.model, list(_finishes(answer.responses).values())
