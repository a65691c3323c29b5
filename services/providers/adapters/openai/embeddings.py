"""OpenAI's embeddings: texts out, vectors in.

Vectors are asked for as the server likes to give them, decimal numbers or base64, and read either way.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from typing import Any

import orjson

from mesh.errors import invalid
from services.providers.adapters.openai.errors import named_error
from services.providers.adapters.openai.extra import Json, lay_over
from services.providers.domain.failures import malformed
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import embedding_pb2


def encode_embeddings(request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` for vectors. Raises INVALID_REQUEST for texts and tokens in one question."""
    body: Json = {"model": model, "input": _inputs(request)}
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    if request.user:
        body["user"] = request.user
    lay_over(body, request, "embedding")
    return Encoded("/embeddings", orjson.dumps({**body, "model": model}))


def _inputs(request: embedding_pb2.EmbeddingRequest) -> list[Any]:
    kinds = {each.WhichOneof("input") for each in request.inputs}
    if kinds == {"text"}:
        return [each.text for each in request.inputs]
    if kinds == {"tokens"}:
        return [list(each.tokens.tokens) for each in request.inputs]
    raise invalid("embedding.inputs", "must be texts, or lists of tokens, and at least one")


def decode_embeddings(body: bytes) -> embedding_pb2.EmbeddingResponse:
    """The vectors in a body. Raises UPSTREAM_MALFORMED, or the error that a 200 carried."""
    try:
        answer = orjson.loads(body)
        if named := named_error(answer):
            raise named
        response = embedding_pb2.EmbeddingResponse(model=answer.get("model") or "")
        for place, each in enumerate(answer["data"]):
            response.embeddings.add(index=each.get("index", place), values=_vector(each["embedding"]))
        if (usage := answer.get("usage")) is not None:
            response.usage.input_tokens = usage["prompt_tokens"]
        return response
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise malformed(f"the provider's answer holds no embeddings ({type(error).__name__})") from None


def _vector(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    vector = array("f", b64decode(given, validate=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
