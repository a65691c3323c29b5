"""What tests of repeated requests send, and how they see what came of it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from tollway.ledger.v1 import ledger_pb2, ledger_pb2_grpc


def headers(key: str, tag: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": key, "x-tollway-tags": tag, **more}


async def rows(ledger: str, tag: str, count: int) -> list[ledger_pb2.Attempt]:
    """The closed rows that carry the tag, once there are so many and no more come."""
    async with grpc.aio.insecure_channel(ledger) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        request = ledger_pb2.ListUsageRequest(filter=ledger_pb2.UsageFilter(tag=tag))
        found: list[ledger_pb2.Attempt] = []
        for _ in range(100):
            found = list((await stub.ListUsage(request)).attempts)
            if len(found) >= count and all(row.state != ledger_pb2.ATTEMPT_STATE_OPENED for row in found):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        return list((await stub.ListUsage(request)).attempts)


async def text_of(stream: Any) -> tuple[str, Any]:
    """A stream's text, and the `tollway` object on its last event."""
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    return text, (chunks[-1].model_extra or {})["tollway"]
