"""Answering a question with the whole completion."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import Command
from services.router.handlers import calling, racing
from services.router.handlers.conversing import Conversation
from services.router.handlers.desk import Desk
from services.router.handlers.question import Question
from tollway.router.v1.router_pb2 import CreateChatCompletionResponse


@dataclass(slots=True)
class CreateChatCompletion(Question, Command[CreateChatCompletionResponse]):
    """Asks for a whole completion."""


async def create_chat_completion(command: CreateChatCompletion, *, desk: Desk) -> CreateChatCompletionResponse:
    """Asks one candidate after the other until one answers. Raises TollwayError."""
    with Conversation(desk, command, streamed=False) as operation:
        while True:
            await operation.open_attempt()
            after = operation.hedge_after()
            try:
                if after is None:
                    answer = await calling.complete(desk.providers, operation.attempt)
                else:
                    answer = await racing.complete(desk.providers, operation, after)
            except TollwayError as failure:
                await operation.recover(failure)
            else:
                return CreateChatCompletionResponse(chat=answer, receipt=operation.finish())
