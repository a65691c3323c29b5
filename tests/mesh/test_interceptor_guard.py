"""A guard lets nobody in whom it is not told to, whatever the shape of the call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.credentials import metadata_of
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.interceptors.guard import Guard
from mesh.status import from_rpc_error

Serve = Callable[..., Awaitable[Any]]
SERVICE = "tollway.test.v1.ScriptedService"


class Counting:
    """Handlers of every shape that say that they were reached."""

    def __init__(self) -> None:
        self.reached = 0

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        self.reached += 1
        return request

    async def down(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        self.reached += 1
        yield request

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        self.reached += 1
        return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        self.reached += 1
        await context.write(StringValue())

    async def serve(self, serve: Serve, *services: str) -> Any:
        around = [Errors(), Guard(services, admit)]
        return await serve(unary=self.unary, down=self.down, up=self.up, both=self.both, interceptors=around)


def admit(credentials: str, method: str) -> None:
    if credentials != "Bearer tw-1":
        raise TollwayError(Reason.UNAUTHENTICATED, f"{credentials or 'nobody'} calls {method}")


async def drain(call: Any) -> None:
    async for _ in call:
        pass


CALLS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "unary": lambda stub, shown: stub.unary(StringValue(), metadata=shown),
    "down": lambda stub, shown: drain(stub.down(StringValue(), metadata=shown)),
    "up": lambda stub, shown: stub.up([StringValue()], metadata=shown),
    "both": lambda stub, shown: drain(stub.both([StringValue()], metadata=shown)),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_who_is_not_let_in_reaches_no_handler(serve: Serve, shape: str) -> None:
    handlers = Counting()
    stub = await handlers.serve(serve, SERVICE)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await CALLS[shape](stub, None)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert from_rpc_error(refused.value).reason is Reason.UNAUTHENTICATED
    assert str(refused.value.details()).startswith(f"nobody calls /{SERVICE}/")
    assert handlers.reached == 0
    await CALLS[shape](stub, metadata_of("tw-1"))
    assert handlers.reached == 1


async def test_a_caller_that_shows_two_things_is_taken_for_neither(serve: Serve) -> None:
    stub = await Counting().serve(serve, SERVICE)
    both = (*metadata_of("tw-1"), *metadata_of("tw-2"))
    with pytest.raises(grpc.aio.AioRpcError, match="Bearer tw-1, Bearer tw-2"):
        await stub.unary(StringValue(), metadata=both)
    assert await stub.unary(StringValue(), metadata=metadata_of("tw-1") * 2) == StringValue()


async def test_other_services_are_none_of_its_business(serve: Serve) -> None:
    stub = await Counting().serve(serve, "tollway.test.v1.OtherService")
    assert await stub.unary(StringValue()) == StringValue()
