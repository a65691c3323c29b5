"""Texts to vectors: batchEmbedContents of the Gemini API. Vertex AI has no such method, and answers 404."""

from __future__ import annotations

from mesh.errors import Reason, TollwayError, invalid
from services.providers.adapters.gemini.reading import reading
from services.providers.adapters.gemini.request import resource
from services.providers.adapters.gemini.telling import DIALECT, Telling
from services.providers.adapters.gemini.usage import take_usage
from services.providers.domain.json_objects import Json, encode_json, merge, written
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import embedding_pb2


def encode_embeddings(request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that asks for them.

    Gemini takes words alone: tokens in their place are UNSUPPORTED_FEATURE, whatever the client allows. What extra
    fields say (`taskType`, `title`) they say of every text.
    """
    if not request.inputs:
        raise invalid("embedding.inputs", "must hold at least one text")
    telling = Telling(request.dialect, unsaid)
    if request.user:
        unsaid.leave_out("embedding.user")
    every: Json = {"model": resource(model)}
    if request.HasField("dimensions"):
        every["outputDimensionality"] = request.dimensions
    merge(every, telling.extra(request.extra_json, "embedding"))
    asked = [{**every, "content": {"parts": [{"text": _text(each, i)}]}} for i, each in enumerate(request.inputs)]
    return Encoded(f"/{resource(model)}:batchEmbedContents", written({"requests": asked}))


def decode_embeddings(body: bytes) -> embedding_pb2.EmbeddingResponse:
    """Raises UPSTREAM_MALFORMED, or the error that the body carries. Gemini does not name the model."""
    with reading("a list of embeddings", body) as answer:
        response = embedding_pb2.EmbeddingResponse(dialect=DIALECT)
        for i, each in enumerate(answer.pop("embeddings")):
            response.embeddings.add(index=i, values=each["values"])
        if (usage := take_usage(answer)) is not None:
            response.usage.CopyFrom(usage)
        if answer:
            response.extra_json = encode_json(answer)
        return response


def _text(each: embedding_pb2.EmbeddingInput, place: int) -> str:
    if each.WhichOneof("input") == "tokens":
        raise TollwayError(
            Reason.UNSUPPORTED_FEATURE, f"embedding.inputs[{place}].tokens: Gemini takes texts, and no tokens"
        )
    return each.text
