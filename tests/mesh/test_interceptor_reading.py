"""Bytes that are no request are their sender's mistake: told to whoever may call, and to nobody's log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.credentials import metadata_of
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.interceptors.guard import Guard
from mesh.interceptors.registration import Registration
from mesh.status import from_rpc_error
from tests.mesh.conftest import SERVICE, scripted
from tests.mesh.test_interceptor_guard import Counting, admit, drain

NO_MESSAGE = b"\xff\xff\xff"
CALLS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "unary": lambda channel, shown: channel.unary_unary(f"/{SERVICE}/Unary")(NO_MESSAGE, metadata=shown),
    "down": lambda channel, shown: drain(channel.unary_stream(f"/{SERVICE}/Down")(NO_MESSAGE, metadata=shown)),
    "up": lambda channel, shown: channel.stream_unary(f"/{SERVICE}/Up")([NO_MESSAGE], metadata=shown),
    "both": lambda channel, shown: drain(channel.stream_stream(f"/{SERVICE}/Both")([NO_MESSAGE], metadata=shown)),
}


class Reading(Counting):
    async def up(self, requests: Any, context: Any) -> Any:
        return await anext(requests)

    async def both(self, requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(request)


async def refused(socket_folder: Path, shape: str, key: str) -> tuple[TollwayError, Counting]:
    handlers = Reading()
    server = Registration(grpc.aio.server(), (Errors(), Guard((SERVICE,), admit)))
    scripted(server, unary=handlers.unary, down=handlers.down, up=handlers.up, both=handlers.both)
    address = f"unix:{socket_folder}/reading.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await CALLS[shape](channel, metadata_of(key))
    finally:
        await server.stop(None)
    return from_rpc_error(raised.value), handlers


@pytest.mark.parametrize("shape", CALLS)
async def test_bytes_that_are_no_message_are_an_invalid_request(
    socket_folder: Path, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, handlers = await refused(socket_folder, shape, "tw-1")
    assert error.reason is Reason.INVALID_REQUEST
    assert error.message == "the request's bytes are no message such as this method takes"
    assert handlers.reached == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("shape", CALLS)
async def test_who_is_not_let_in_is_told_so_whatever_they_sent(socket_folder: Path, shape: str) -> None:
    error, _ = await refused(socket_folder, shape, "nobody-s")
    assert error.reason is Reason.UNAUTHENTICATED
