"""Where `tollway spend` reads from: the ledger's file, or a ledger that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from mesh.errors import TollwayError
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.asking import channel, metadata, sentence
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse
from tollway_cli.spend import Reading

_TIMEOUT = 30.0


@asynccontextmanager
async def reading(connect: str, key: str, data_dir: Path, config: Path | None) -> AsyncIterator[Reading]:
    """The ledger at `connect`, shown the key; where that is empty, the configured ledger's file. Errors end it all."""
    try:
        if connect:
            async with _asking(connect, metadata(key), config) as asked:
                yield asked
        else:
            async with _file(data_dir, config) as file:
                yield file
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

    async with channel(target, config) as to_ledger:
        try:
            yield Asked(to_ledger)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


@asynccontextmanager
async def _file(data_dir: Path, config: Path | None) -> AsyncIterator[Reading]:
    from services.ledger.bootstrap import LedgerReader, open_reader
    from services.ledger.handlers.get_spend import GetSpend
    from services.ledger.handlers.list_usage import ListUsage
    from services.ledger.settings import LedgerSettings

    class Read:
        def __init__(self, reader: LedgerReader) -> None:
            self._reader = reader

        async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse:
            return await self._reader.send(GetSpend(request.filter, request.group_by))

        async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse:
            return await self._reader.send(ListUsage(request.filter, request.page_size, request.page_token))

    async with await open_reader(LedgerSettings.from_config(load_or_refuse(config), data_dir)) as reader:
        yield Read(reader)
