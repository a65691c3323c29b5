from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai import decode_embeddings, encode_embeddings
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import embedding_pb2
from tollway.chat.v1.chat_pb2 import Usage

VECTOR = [0.10000000149011612, -0.0, 3.4028234663852886e38]
TEXT = embedding_pb2.EmbeddingInput(text="a")
TOKENS = embedding_pb2.EmbeddingInput(tokens=embedding_pb2.TokenList(tokens=[1, 2]))


def body_of(request: embedding_pb2.EmbeddingRequest) -> dict[str, Any]:
    encoded = encode_embeddings(request, "m", Unsaid())
    assert encoded.path == "/embeddings"
    body: dict[str, Any] = json.loads(encoded.body)
    return body


def answering(*vectors: Any, **fields: Any) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "m-1", **fields}).encode()


def test_texts_are_asked_about_in_their_order() -> None:
    request = embedding_pb2.EmbeddingRequest(
        model="alias", inputs=[TEXT, TEXT], dimensions=3, user="ann", extra_json=b'{"new":1,"encoding_format":"base64"}'
    )
    assert body_of(request) == {"model": "m", "input": ["a", "a"], "dimensions": 3, "user": "ann", "new": 1}


def test_tokens_are_asked_about_as_they_are() -> None:
    assert body_of(embedding_pb2.EmbeddingRequest(inputs=[TOKENS]))["input"] == [[1, 2]]


@pytest.mark.parametrize("inputs", [[], [TEXT, TOKENS]])
def test_texts_and_tokens_cannot_be_asked_about_at_once(inputs: list[embedding_pb2.EmbeddingInput]) -> None:
    with pytest.raises(TollwayError, match=r"embedding\.inputs") as caught:
        encode_embeddings(embedding_pb2.EmbeddingRequest(inputs=inputs), "m", Unsaid())
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_fields_of_another_dialect_are_refused() -> None:
    request = embedding_pb2.EmbeddingRequest(inputs=[TEXT], dialect="cohere", extra_json=b'{"input_type":"x"}')
    with pytest.raises(TollwayError, match=r"embedding\.input_type"):
        encode_embeddings(request, "m", Unsaid())


@pytest.mark.parametrize("written", [VECTOR, b64encode(struct.pack("<3f", *VECTOR)).decode()])
def test_vectors_are_read_from_numbers_and_from_base64_alike(written: Any) -> None:
    response = decode_embeddings(answering(written, usage={"prompt_tokens": 3, "total_tokens": 3}, id="e", new=1))
    assert [(each.index, list(each.values)) for each in response.embeddings] == [(0, VECTOR)]
    assert response.model == "m-1"
    assert response.usage == Usage(input_tokens=3)
    assert json.loads(response.extra_json) == {"id": "e", "new": 1}


def test_vectors_keep_the_places_that_the_server_gives_them() -> None:
    body = {"data": [{"index": 1, "embedding": [1]}, {"index": 0, "embedding": [0]}]}
    response = decode_embeddings(json.dumps(body).encode())
    assert [each.index for each in response.embeddings] == [1, 0]
    assert not response.HasField("usage")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"data":[{"embedding":"!"}]}', b'{"data":[{}]}', b"{}"])
def test_an_answer_without_vectors_is_malformed(body: bytes) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_embeddings(body)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_an_error_in_place_of_vectors_is_that_error() -> None:
    with pytest.raises(TollwayError, match="Slow down") as caught:
        decode_embeddings(b'{"error":{"message":"Slow down","code":429}}')
    assert caught.value.reason is Reason.UPSTREAM_RATE_LIMITED
