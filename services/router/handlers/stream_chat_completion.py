"""Answering a question with the completion as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import StreamCommand
from services.router.domain.answer import Answer
from services.router.handlers import calling
from services.router.handlers.desk import Desk, Question
from services.router.handlers.operation import Operation
from tollway.router.v1.router_pb2 import StreamChatCompletionResponse


@dataclass(slots=True)
class StreamChatCompletion(Question, StreamCommand[StreamChatCompletionResponse]):
    """Asks for a completion as it arrives."""


async def stream_chat_completion(
    command: StreamChatCompletion, *, desk: Desk
) -> AsyncGenerator[StreamChatCompletionResponse, None]:
    """Asks one candidate after the other until one shows content, then passes its answer on.

    The finish, the usage and the whole receipt are in the last message. Raises TollwayError: before the first message
    where nobody answered, after it where the answer broke off.
    """
    with Operation(desk, command, streamed=True) as operation:
        while True:
            attempt, answer = operation.open_attempt(), Answer(command.chat.choice_count or 1)
            opened = False
            try:
                async with aclosing(calling.stream(desk.providers, attempt, answer)) as chunks:
                    async for chunk in chunks:
                        receipt = None if opened else operation.opening_receipt()
                        opened = True
                        yield StreamChatCompletionResponse(chunk=chunk, receipt=receipt)
            except TollwayError as failure:
                if answer.begun:
                    raise operation.interrupted(failure) from failure
                await operation.recover(attempt, failure)
            else:
                yield StreamChatCompletionResponse(chunk=answer.ending(), receipt=operation.finish(attempt))
                return
