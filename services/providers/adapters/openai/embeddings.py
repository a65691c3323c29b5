"""OpenAI's embeddings: texts out, vectors in.

No encoding is asked for: OpenAI's decimal numbers are those of 32-bit floats, and not every server knows base64. Either
is read.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from typing import Any

from mesh.errors import invalid
from services.providers.adapters.openai.errors import named_error
from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai.halves import parse
from services.providers.adapters.openai.peculiar import adapt
from services.providers.adapters.openai.response import NOT_UNDERSTOOD
from services.providers.adapters.openai.thinking import DIALECT
from services.providers.adapters.openai.usage import keep_usage
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, encode_json, written
from services.providers.domain.quirks import NO_QUIRKS, Quirks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import embedding_pb2


def encode_embeddings(
    request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid, quirks: Quirks = NO_QUIRKS
) -> Encoded:
    """The call that asks `model` for vectors. Raises INVALID_REQUEST for texts and tokens in one question."""
    asked = Asked(unsaid, quirks, DIALECT, request.dialect in ("", DIALECT))
    body: Json = {"model": model, "input": _inputs(request)}
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    if request.user:
        body["user"] = request.user
    asked.lay_over(body, request, "embedding")
    body["model"] = model
    body.pop("encoding_format", None)
    adapt(body, asked, "embedding")
    return Encoded("/embeddings", written(body))


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
        answer = parse(body)
        if named := named_error(answer):
            raise named
        return _response(answer)
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer holds no embeddings ({type(error).__name__})") from None


def _response(answer: Json) -> embedding_pb2.EmbeddingResponse:
    response = embedding_pb2.EmbeddingResponse(model=answer.pop("model", None) or "")
    for name in ("object", "id", "created"):
        if name == "object" or answer.get(name) is None:
            answer.pop(name, None)
    if usage := answer.pop("usage", None):
        keep_usage(usage, response, answer, "")
    for place, each in enumerate(answer.pop("data")):
        index = each.get("index")
        response.embeddings.add(index=place if index is None else index, values=_vector(each["embedding"]))
    if answer:
        response.extra_json = encode_json(answer)
    return response


def _vector(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    vector = array("f", b64decode(given, validate=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
