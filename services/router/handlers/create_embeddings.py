"""Answering with the vectors of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.errors import FieldViolation, TollwayError
from mesh.mediator import Command
from mesh.tracing import AttributeValue
from services.router.domain import genai
from services.router.domain.fingerprint import fingerprint_of
from services.router.domain.kinds import EMBEDDINGS
from services.router.domain.validation import embedding_violations
from services.router.handlers import calling
from services.router.handlers.desk import Desk
from services.router.handlers.operation import Operation
from services.router.handlers.question import Question
from tollway.chat.v1.embedding_pb2 import EmbeddingRequest
from tollway.router.v1.router_pb2 import CreateEmbeddingsResponse


@dataclass(slots=True, kw_only=True)
class CreateEmbeddings(Question, Command[CreateEmbeddingsResponse]):
    """Asks for vectors. `chat` is the likeness of `embedding`."""

    kind = EMBEDDINGS

    embedding: EmbeddingRequest

    def violations(self) -> tuple[FieldViolation, ...]:
        return embedding_violations(self.embedding, self.request_id, self.tags, self.preferences)

    def fingerprint(self) -> bytes:
        return fingerprint_of(self.embedding, self.preferences.models)

    def told(self, provider: str, *, streamed: bool) -> Mapping[str, AttributeValue]:
        told = genai.operation_attributes(self.operation, provider, self.chat.model)
        if self.embedding.HasField("dimensions"):
            told["gen_ai.embeddings.dimension.count"] = self.embedding.dimensions
        return told


async def create_embeddings(command: CreateEmbeddings, *, desk: Desk) -> CreateEmbeddingsResponse:
    """Asks one candidate after the other until one answers. Raises TollwayError."""
    with Operation(desk, command, streamed=False) as operation:
        while True:
            await operation.open_attempt()
            try:
                vectors = await calling.embed(desk.providers, operation.attempt, command.embedding)
            except TollwayError as failure:
                await operation.recover(failure)
            else:
                return CreateEmbeddingsResponse(embedding=vectors, receipt=operation.finish())
