"""Answering with a stream of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc


class CallerLeft(asyncio.CancelledError):
    """A response could not be sent, because nobody is there to take it."""


async def write_all(messages: AsyncGenerator[Any, None], context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Writes each message as it is made, and closes their generator before the call has ended.

    A servicer that does this with what a mediator streams needs no generator of its own around it.
    """
    async with aclosing(messages):
        async for message in messages:
            try:
                await context.write(message)
            except grpc.aio.InternalError as error:
                raise CallerLeft from error
