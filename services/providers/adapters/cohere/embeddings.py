"""Texts to vectors, by Cohere's embed endpoint."""

from __future__ import annotations

from typing import Any

from mesh.errors import FieldViolation, Reason, TollwayError, invalid
from services.providers.adapters.cohere.response import DIALECT, NOT_UNDERSTOOD, keep_usage
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, sent_object, written
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import embedding_pb2

_PURPOSE = "search_document"
"""What the vectors are for, which Cohere's models must be told; the question's own `input_type` says otherwise."""


def encode_embeddings(request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that asks for vectors. Raises INVALID_REQUEST and UNSUPPORTED_FEATURE, as `encode_request` does."""
    if not request.inputs:
        raise invalid("embedding.inputs", "must hold at least one text")
    body: Json = {
        "input_type": _PURPOSE,
        "embedding_types": ["float"],
        "texts": [_text(each, f"embedding.inputs[{i}]") for i, each in enumerate(request.inputs)],
    }
    if request.HasField("dimensions"):
        body["output_dimension"] = request.dimensions
    if request.user:
        unsaid.leave_out("embedding.user")
    OwnWords(request.dialect, DIALECT, unsaid).lay_over(body, request.extra_json, "embedding")
    if "float" not in body["embedding_types"]:
        body["embedding_types"] = [*body["embedding_types"], "float"]
    return Encoded("/v2/embed", written({**body, "model": model}))


def _text(given: embedding_pb2.EmbeddingInput, path: str) -> str:
    if given.WhichOneof("input") == "tokens":
        why = "cannot be told to Cohere, which takes texts and not a model's tokens"
        raise TollwayError(
            Reason.UNSUPPORTED_FEATURE, f"{path}.tokens {why}", violations=(FieldViolation(f"{path}.tokens", why),)
        )
    return given.text


def decode_embeddings(body: bytes) -> embedding_pb2.EmbeddingResponse:
    """The vectors. Their texts, which Cohere repeats, are the question's. Raises UPSTREAM_MALFORMED."""
    try:
        return _embeddings(sent_object(body))
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not one of embeddings ({type(error).__name__})") from None


def _embeddings(answer: Json) -> embedding_pb2.EmbeddingResponse:
    response = embedding_pb2.EmbeddingResponse(dialect=DIALECT)
    embeddings: dict[str, Any] = answer.pop("embeddings")
    for i, vector in enumerate(embeddings.pop("float")):
        response.embeddings.add(index=i, values=vector)
    for name in ("texts", "response_type"):
        answer.pop(name, None)
    if embeddings := {name: values for name, values in embeddings.items() if values}:
        answer["embeddings"] = embeddings  # of other types, which the question asked for beside
    meta = answer.get("meta") or {}
    if meta.get("billed_units") or meta.get("tokens"):
        counted = {name: meta.pop(name) for name in ("billed_units", "tokens", "cached_tokens") if name in meta}
        keep_usage(counted, response.usage)
    if answer:
        response.extra_json = encode_json(answer)
    return response
