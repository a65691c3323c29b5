from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import pytest

from mesh.errors import TollwayError
from mesh.status import from_rpc_error
from services.ledger.handlers.reconcile_invoice import LARGEST_PIECE
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.handlers.test_roll_details import roll
from tests.unit.services.ledger.samples import NOW, attempt, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.invoice_pb2 import (
    INVOICE_FORMAT_ANTHROPIC,
    INVOICE_FORMAT_GENERIC,
    INVOICE_FORMAT_OPENAI,
    InvoiceFormat,
    InvoiceLine,
    InvoiceSums,
    ReconcileInvoiceRequest,
    ReconcileInvoiceResponse,
)
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CACHE_HIT, PROVENANCE_CACHED, AdjustAttemptRequest, Attempt

DAY = 86_400
HEADER = "start_time,model,num_model_requests,input_tokens,output_tokens,input_cached_tokens\n"


def called(at: float = NOW, *, tokens: tuple[int, int] = (0, 0), **changes: Any) -> Attempt:
    """A settled attempt of so many tokens in and out, at the provider `openai`."""
    return attempt(at, **{"usage": Usage(input_tokens=tokens[0], output_tokens=tokens[1])} | changes)


def row(days_ago: int, model: str, *figures: int) -> str:
    return ",".join(map(str, (int(NOW) // DAY * DAY - days_ago * DAY, model, *figures))) + "\n"


async def reconcile(
    ledger: Ledger,
    *texts: str,
    format: InvoiceFormat.ValueType = INVOICE_FORMAT_OPENAI,
    names: Sequence[str] = ("openai",),
) -> tuple[list[InvoiceLine], ReconcileInvoiceResponse]:
    """Lines and the last word. Each text is a file, sent in pieces of seven bytes."""

    async def pieces() -> AsyncIterator[ReconcileInvoiceRequest]:
        for number, text in enumerate(texts):
            content = text.encode()
            for at in range(0, len(content), 7):
                yield ReconcileInvoiceRequest(
                    format=format, provider_names=names, file_name=f"{number}.csv", chunk=content[at : at + 7]
                )

    lines: list[InvoiceLine] = []
    last = ReconcileInvoiceResponse()
    try:
        async for last in ledger.stub.ReconcileInvoice(pieces()):
            lines += last.lines
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    assert last.done
    return lines, last


async def test_what_was_booked_stands_beside_what_was_invoiced(ledger: Ledger) -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=40, cache_write_tokens=3, output_tokens=20)
    first, second = (called(NOW, usage=usage) for _ in range(2))
    other = called(NOW - DAY, tokens=(7, 1), model_used="gpt-4o-mini")
    elsewhere = called(NOW, tokens=(1000, 1000), provider_name="azure-eu")
    await ledger.record(first, second, other, elsewhere)
    export = HEADER + row(0, "gpt-4o-2024-08-06", 2, 201, 40, 80) + row(1, "gpt-4o-mini", 1, 7, 1, 0)
    lines, last = await reconcile(ledger, export)
    assert [(line.model, list(line.models_booked)) for line in lines] == [
        ("gpt-4o-mini", ["gpt-4o-mini"]),
        ("gpt-4o-2024-08-06", ["gpt-4o-2024-08-06"]),
    ]
    assert lines[1].booked == InvoiceSums(
        requests=2,
        input_tokens=200,
        cached_input_tokens=80,
        cache_write_tokens=6,
        output_tokens=40,
        cost_nanos=first.cost_nanos + second.cost_nanos,
    )
    assert lines[1].invoiced == InvoiceSums(requests=2, input_tokens=201, cached_input_tokens=80, output_tokens=40)
    assert last.records == 2
    assert (last.total.booked.input_tokens, last.total.invoiced.input_tokens) == (207, 208)
    assert not last.total.invoiced.HasField("cost_nanos")


async def test_days_whose_details_are_rolled_are_compared_as_before(ledger: Ledger) -> None:
    adjusted = called(NOW - 3 * DAY, tokens=(50, 5))
    await ledger.record(adjusted, called(NOW - 3 * DAY, tokens=(5, 5)), called(NOW, tokens=(1, 1)))
    await ledger.stub.AdjustAttempt(AdjustAttemptRequest(attempt_id=adjusted.attempt_id, cost_nanos=77, reason="x"))
    export = HEADER + row(3, "gpt-4o-2024-08-06", 2, 55, 10, 0)
    before = await reconcile(ledger, export)
    assert await roll(ledger, 1) == 2
    assert await reconcile(ledger, export) == before
    ((line,), _) = before
    assert line.booked.input_tokens == 55, "and nothing of a day that the export is not of"


async def test_answers_out_of_the_cache_are_no_requests_and_what_is_not_known_is_said(ledger: Ledger) -> None:
    hit = called(
        NOW, kind=ATTEMPT_KIND_CACHE_HIT, provenance=PROVENANCE_CACHED, usage=Usage(), cost_nanos=0,
        price_version="",
    )  # fmt: skip
    alone = called(
        NOW, model_used="other", kind=ATTEMPT_KIND_CACHE_HIT, provenance=PROVENANCE_CACHED, usage=Usage(),
        cost_nanos=0, price_version="",
    )  # fmt: skip
    unpriced = called(NOW, tokens=(1, 1), cost_nanos=None, price_version=None)
    answers = await ledger.record(hit, alone, unpriced, unsettled(called(NOW, tokens=(2, 2))))
    assert {answer.message for answer in answers} == {""}
    ((line,), _) = await reconcile(ledger, HEADER + row(0, "gpt-4o-2024-08-06", 1, 1, 1, 0))
    assert line.booked.requests == 2
    assert (line.unpriced_attempts, line.unsettled_attempts) == (1, 1)


async def test_usage_and_costs_are_compared_together_and_names_for_people_found(ledger: Ledger) -> None:
    one = called(NOW, tokens=(10, 2), provider_name="claude", model_used="claude-haiku-4-5")
    await ledger.record(one)
    day = "2023-11-14"
    usage = (
        "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_output_tokens\n"
        f"{day},claude-haiku-4-5-20251001,10,2\n"
    )
    cost = f"usage_date_utc,model,cost_usd\n{day},Claude Haiku 4.5,0.00001\n"
    ((line,), _) = await reconcile(ledger, usage, cost, format=INVOICE_FORMAT_ANTHROPIC, names=["claude"])
    assert line.model == "claude-haiku-4-5"
    assert line.invoiced.input_tokens == line.booked.input_tokens == 10
    assert line.invoiced.cost_nanos == 10_000


async def test_without_names_all_providers_are_compared_and_several_are_added_up(ledger: Ledger) -> None:
    await ledger.record(*(called(NOW, tokens=(10, 2), provider_name=name) for name in ("a", "b", "c")))
    export = "day,model,input_tokens\n2023-11-14,gpt-4o,30\n"
    for names, tokens in (([], 30), (["a"], 10), (["a", "c", "a"], 20)):
        ((line,), _) = await reconcile(ledger, export, format=INVOICE_FORMAT_GENERIC, names=names)
        assert line.booked.input_tokens == tokens
    assert line.model == "gpt-4o"


async def test_an_export_of_many_lines_is_answered_in_pieces(ledger: Ledger) -> None:
    rows = "".join(f"2023-11-14,m{number},1\n" for number in range(1201))

    async def pieces() -> AsyncIterator[ReconcileInvoiceRequest]:
        yield ReconcileInvoiceRequest(format=INVOICE_FORMAT_GENERIC, chunk=f"day,model,input_tokens\n{rows}".encode())

    counts = [len(response.lines) async for response in ledger.stub.ReconcileInvoice(pieces())]
    assert counts == [500, 500, 201, 0]


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([], "format: must be given"),
        ([ReconcileInvoiceRequest(chunk=b"day")], "format: 0 is none of INVOICE_FORMAT_OPENAI"),
        ([ReconcileInvoiceRequest(format=INVOICE_FORMAT_GENERIC)], "chunk: the export is empty"),
        (
            [ReconcileInvoiceRequest(format=INVOICE_FORMAT_GENERIC, chunk=b"x" * (LARGEST_PIECE + 1))],
            f"chunk: is {LARGEST_PIECE + 1} bytes",
        ),
        (
            [ReconcileInvoiceRequest(format=INVOICE_FORMAT_GENERIC, provider_names=["a", ""], chunk=b"x")],
            "provider_names[1]: must be",
        ),
        (
            [
                ReconcileInvoiceRequest(
                    format=INVOICE_FORMAT_GENERIC, file_name="a.csv", chunk=b"day,model,requests\n"
                ),
                ReconcileInvoiceRequest(file_name="b.csv", chunk=b"day,model\n1,2\n"),
            ],
            "chunk: b.csv, line 1: the header has no ",
        ),
    ],
)
async def test_what_cannot_be_read_is_refused(
    ledger: Ledger, requests: list[ReconcileInvoiceRequest], said: str
) -> None:
    def pieces() -> Iterator[ReconcileInvoiceRequest]:
        yield from requests

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(ledger.stub.ReconcileInvoice(pieces())))
    error = from_rpc_error(raised.value)
    assert isinstance(error, TollwayError)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.message
