"""Where `tollway spend` and its neighbours read from: the ledger's database, or a ledger that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

import grpc

from mesh.errors import TollwayError
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.asking import channel, metadata, sentence
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse

_TIMEOUT = 30.0


class Reading(Protocol):
    """Where the book is read: its database, or a ledger."""

    async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse: ...

    async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse: ...

    def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]: ...

    async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse: ...

    async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse:
        """Where it was opened for that."""

    async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse:
        """Where it was opened for that."""


@asynccontextmanager
async def reading(
    connect: str, key: str, data_dir: Path, config: Path | None, *, writable: bool = False
) -> AsyncIterator[Reading]:
    """The ledger at `connect`, shown the key; where that is empty, its database. Errors end it all."""
    try:
        if connect:
            async with _asking(connect, metadata(key), config) as asked:
                yield asked
        else:
            async with _opened(data_dir, config, writable=writable) as opened:
                yield opened
    except TollwayError as error:
        refuse(sentence(error))


@asynccontextmanager
async def _asking(target: str, shown: tuple[tuple[str, str], ...], config: Path | None) -> AsyncIterator[Reading]:
    from mesh.status import from_rpc_error
    from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

    class Asked:
        def __init__(self, channel: grpc.aio.Channel) -> None:
            self._ledger = LedgerServiceStub(channel)

        async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse:
            return await self._ledger.GetSpend(request, timeout=_TIMEOUT, metadata=shown)

        async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse:
            return await self._ledger.ListUsage(request, timeout=_TIMEOUT, metadata=shown)

        async def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]:
            async for response in self._ledger.AuditLedger(ledger_pb2.AuditLedgerRequest(), metadata=shown):
                yield response

        async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse:
            return await self._ledger.AdjustAttempt(request, timeout=_TIMEOUT, metadata=shown)

        async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse:
            return await self._ledger.ListPrices(request, timeout=_TIMEOUT, metadata=shown)

        async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse:
            return await self._ledger.SetPrice(request, timeout=_TIMEOUT, metadata=shown)

    async with channel(target, config) as to_ledger:
        try:
            yield Asked(to_ledger)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


@asynccontextmanager
async def _opened(data_dir: Path, config: Path | None, *, writable: bool) -> AsyncIterator[Reading]:
    from services.ledger.bootstrap import LedgerReader, open_reader
    from services.ledger.handlers.adjust_attempt import AdjustAttempt
    from services.ledger.handlers.audit_ledger import AuditLedger
    from services.ledger.handlers.get_spend import GetSpend
    from services.ledger.handlers.list_prices import ListPrices
    from services.ledger.handlers.list_usage import ListUsage
    from services.ledger.handlers.set_price import SetPrice
    from services.ledger.settings import LedgerSettings

    class Read:
        def __init__(self, reader: LedgerReader) -> None:
            self._reader = reader

        async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse:
            return await self._reader.send(GetSpend(request.filter, request.group_by))

        async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse:
            return await self._reader.send(ListUsage(request.filter, request.page_size, request.page_token))

        async def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]:
            async with aclosing(self._reader.stream(AuditLedger())) as responses:
                async for response in responses:
                    yield response

        async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse:
            return await self._reader.send(AdjustAttempt(request.attempt_id, request.cost_nanos, request.reason))

        async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse:
            return await self._reader.send(ListPrices(request.page_size, request.page_token))

        async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse:
            return ledger_pb2.SetPriceResponse(price=await self._reader.send(SetPrice(request.price)))

    settings = LedgerSettings.from_config(load_or_refuse(config), data_dir)
    async with await open_reader(settings, writable=writable) as reader:
        yield Read(reader)
