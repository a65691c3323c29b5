"""OpenAI's embeddings, `POST /v1/embeddings`: from JSON to messages, and back as JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from gateway_http.asking import note_headers
from gateway_http.body import BodyReader
from gateway_http.exchange import Exchange
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    into,
    json_of,
    read_each,
    read_fields,
    whole_number,
    whole_number_into,
)
from gateway_http.json_input import name_of, read_object
from gateway_http.json_output import encode_json, put_back
from gateway_http.receipt import receipt_headers
from gateway_http.vectors import base64, shortest
from mesh.errors import Reason, TollwayError
from tollway.chat.v1.embedding_pb2 import EmbeddingRequest, EmbeddingResponse
from tollway.router.v1.router_pb2 import CreateEmbeddingsRequest

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub

_FORMATS = ("float", "base64")
_NEEDED = {"model": "the name of the model to ask", "input": "the texts to find places for"}
_TOGETHER = 8
"""Vectors that are made ready in one go. Others have their turn in between: numbers take a millisecond or two."""


class Embeddings:
    """The handler."""

    def __init__(self, router: RouterServiceAsyncStub, bodies: BodyReader) -> None:
        self._router, self._bodies = router, bodies

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        request = CreateEmbeddingsRequest()
        call = note_headers(exchange, request)
        coded = decode(read_object(await self._bodies.read(exchange.request)), request.embedding)
        answer = await self._router.CreateEmbeddings(request, metadata=call.metadata, timeout=call.seconds)
        body = await encode(answer.embedding, request.embedding.model, coded=coded)
        return web.Response(body=body, headers={"content-type": "application/json", **receipt_headers(answer.receipt)})


# -- the question ------------------------------------------------------------------------------------------------------


def decode(fields: dict[str, Any], embedding: EmbeddingRequest) -> bool:
    """Reads a question, and whether its vectors are wanted in base64. Takes `fields` apart.

    Raises INVALID_REQUEST with the path of the field that cannot be accepted.
    """
    try:
        coded = _take_format(fields)
        for name, what in _NEEDED.items():
            if fields.get(name) is None:
                raise Wrong(f"must be given: {what}", name)
        embedding.extra_json = json_of(read_fields(_REQUEST, embedding, fields))
    except Wrong as wrong:
        raise wrong.as_error() from None
    return coded


def _take_format(fields: dict[str, Any]) -> bool:
    wanted = fields.pop("encoding_format", None)
    if wanted is not None and wanted not in _FORMATS:
        raise Wrong(f"must be one of {', '.join(_FORMATS)}", "encoding_format")
    return bool(wanted == "base64")


def _read_input(embedding: EmbeddingRequest, value: Any) -> None:
    """A text, texts, tokens, or arrays of tokens."""
    if type(value) is str:
        value = [value]
    if not a(list, value):
        raise Wrong("must have at least one entry")
    if type(value[0]) is int:
        value = [value]
    read_each(lambda item: _read_one(embedding, item), value)


def _read_one(embedding: EmbeddingRequest, item: Any) -> None:
    given = embedding.inputs.add()
    if type(item) is str:
        given.text = item
    elif type(item) is list:
        tokens = given.tokens.tokens
        read_each(lambda token: tokens.append(whole_number(token, 32)), item)
    else:
        raise Wrong(f"must be a string or an array of tokens, not {name_of(item)}")
    if not item:
        raise Wrong("must not be empty")


def _read_model(embedding: EmbeddingRequest, value: Any) -> None:
    embedding.model = a(str, value)
    if not value:
        raise Wrong("must not be empty")


def _read_dimensions(embedding: EmbeddingRequest, value: Any) -> None:
    whole_number_into("dimensions", 32)(embedding, value)
    if value < 1:
        raise Wrong("must be at least 1")


_REQUEST: Readers = {
    "model": _read_model,
    "input": _read_input,
    "dimensions": _read_dimensions,
    "user": into("user", str),
}


# -- the answer --------------------------------------------------------------------------------------------------------


class _Vector(NamedTuple):
    place: int
    written: Any


async def encode(response: EmbeddingResponse, model: str, *, coded: bool) -> bytes:
    """The answer's body; `model` stands in where the provider does not name one."""
    vectors: list[_Vector] = []
    for place, each in enumerate(response.embeddings, 1):
        vectors.append(_Vector(each.index, base64(each.values) if coded else _numbers(each.values)))
        if not place % _TOGETHER:
            await asyncio.sleep(0)
    vectors.sort(key=lambda each: each.place)
    body: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": each.place, "embedding": each.written} for each in vectors],
        "model": response.model or model,
        "usage": _usage(response) if response.HasField("usage") else None,
    }
    put_back(body, response.extra_json)
    return encode_json(body)


def _numbers(values: Any) -> list[float]:
    try:
        return shortest(values)
    except ValueError:
        raise TollwayError(Reason.UPSTREAM_MALFORMED, "the provider's answer has a vector that is no numbers") from None


def _usage(response: EmbeddingResponse) -> dict[str, Any]:
    usage = response.usage
    fields: dict[str, Any] = {"prompt_tokens": usage.input_tokens}
    put_back(fields, usage.extra_json)
    fields.setdefault("total_tokens", usage.input_tokens + usage.output_tokens)
    return fields
