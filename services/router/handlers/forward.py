"""Passing a question on to an endpoint that is not translated, and its answer back as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from mesh.errors import FieldViolation, TollwayError
from mesh.mediator import StreamCommand
from mesh.tracing import AttributeValue
from services.router.domain import genai
from services.router.domain.fingerprint import fingerprint_of
from services.router.domain.kinds import FORWARDED
from services.router.domain.validation import forwarding_violations
from services.router.handlers import calling
from services.router.handlers.desk import Desk
from services.router.handlers.operation import Operation
from services.router.handlers.question import Question
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedQuestion
from tollway.router.v1.router_pb2 import ForwardResponse

_OPERATIONS: Mapping[int, str] = {
    Endpoint.ENDPOINT_IMAGE_GENERATIONS: "image_generation",
    Endpoint.ENDPOINT_AUDIO_SPEECH: "speech",
    Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS: "transcription",
    Endpoint.ENDPOINT_MODERATIONS: "moderation",
    Endpoint.ENDPOINT_RERANK: "rerank",
}


@dataclass(slots=True, kw_only=True)
class Forward(Question, StreamCommand[ForwardResponse]):
    """Asks for something to be passed on. `chat` is the likeness of `question`."""

    kind = FORWARDED

    question: ForwardedQuestion

    @property
    def operation(self) -> str:
        return _OPERATIONS.get(self.question.endpoint, self.kind.operation)

    def violations(self) -> tuple[FieldViolation, ...]:
        return forwarding_violations(self.question, self.request_id, self.tags, self.preferences)

    def fingerprint(self) -> bytes:
        return fingerprint_of(self.question, self.preferences.models)

    def told(self, provider: str, *, streamed: bool) -> Mapping[str, AttributeValue]:
        return genai.operation_attributes(self.operation, provider, self.chat.model)


async def forward(command: Forward, *, desk: Desk) -> AsyncGenerator[ForwardResponse, None]:
    """Asks one candidate after the other until one begins to answer, and passes that on.

    The last message has the whole receipt. Raises TollwayError: before the first message where nobody answered, after
    it where the answer broke off, since nobody can go on with what was not read.
    """
    with Operation(desk, command, streamed=True) as operation:
        opened = False
        while True:
            await operation.open_attempt()
            try:
                async with aclosing(calling.pass_on(desk.providers, operation.attempt, command.question)) as responses:
                    async for response in responses:
                        receipt = None if opened else operation.opening_receipt()
                        head = response.head if response.HasField("head") else None
                        opened = True
                        yield ForwardResponse(head=head, data=response.data, receipt=receipt)
            except TollwayError as failure:
                await operation.recover(failure)
            else:
                break
        yield ForwardResponse(receipt=operation.finish())
