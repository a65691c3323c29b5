"""Answering a question with the completion as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import StreamCommand
from services.router.domain.kinds import STREAMED_CHAT
from services.router.handlers import calling, racing
from services.router.handlers.conversing import Conversation
from services.router.handlers.desk import Desk
from services.router.handlers.question import Question
from tollway.chat.v1.chat_pb2 import ChatChunk
from tollway.router.v1.router_pb2 import StreamChatCompletionResponse


@dataclass(slots=True)
class StreamChatCompletion(Question, StreamCommand[StreamChatCompletionResponse]):
    """Asks for a completion as it arrives."""

    kind = STREAMED_CHAT


async def stream_chat_completion(
    command: StreamChatCompletion, *, desk: Desk
) -> AsyncGenerator[StreamChatCompletionResponse, None]:
    """Asks one candidate after the other until one shows content, and passes its answer on.

    Where that breaks off, another call goes on with it if it can. The finish, the usage and the whole receipt are in
    the last message. Raises TollwayError: before the first message where nobody answered, after it where the answer
    broke off for good.
    """
    with Conversation(desk, command, streamed=True) as operation:
        opened = False
        while True:
            await operation.open_attempt()
            try:
                async with aclosing(_answer(desk, operation)) as chunks:
                    async for chunk in chunks:
                        receipt = None if opened else operation.opening_receipt()
                        opened = True
                        yield StreamChatCompletionResponse(chunk=chunk, receipt=receipt)
            except TollwayError as failure:
                await operation.recover(failure)
            else:
                break
        for chunk in operation.held_back():
            receipt = None if opened else operation.opening_receipt()
            opened = True
            yield StreamChatCompletionResponse(chunk=chunk, receipt=receipt)
        yield StreamChatCompletionResponse(chunk=operation.ending(), receipt=operation.finish())


def _answer(desk: Desk, operation: Conversation) -> AsyncGenerator[ChatChunk, None]:
    """What may go out of the answer to the attempt, or to a second one beside it."""
    after = operation.hedge_after()
    if after is None:
        return calling.stream(desk.providers, operation.attempt)
    return racing.stream(desk.providers, operation, after)
