from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.gemini import decode_embeddings, encode_embeddings
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2, embedding_pb2


def asking(*texts: str, **fields: Any) -> embedding_pb2.EmbeddingRequest:
    inputs = [embedding_pb2.EmbeddingInput(text=text) for text in texts]
    return embedding_pb2.EmbeddingRequest(inputs=inputs, **fields)


def test_every_text_is_a_request_of_its_own_in_one_call() -> None:
    unsaid = Unsaid()
    encoded = encode_embeddings(asking("a", "b", dimensions=64, user="u"), "gemini-embedding-001", unsaid)
    assert encoded.path == "/models/gemini-embedding-001:batchEmbedContents"
    every = {"model": "models/gemini-embedding-001", "outputDimensionality": 64}
    assert json.loads(encoded.body) == {
        "requests": [{**every, "content": {"parts": [{"text": "a"}]}}, {**every, "content": {"parts": [{"text": "b"}]}}]
    }
    assert unsaid.dropped == ["embedding.user"]


def test_what_gemini_alone_knows_is_said_of_every_text() -> None:
    request = asking("a", "b", dialect="gemini", extra_json=b'{"taskType": "RETRIEVAL_QUERY"}')
    body = json.loads(encode_embeddings(request, "m", Unsaid()).body)
    assert [each["taskType"] for each in body["requests"]] == ["RETRIEVAL_QUERY", "RETRIEVAL_QUERY"]


def test_fields_of_another_dialect_are_refused_by_name() -> None:
    with pytest.raises(TollwayError, match=r"embedding\.novel") as caught:
        encode_embeddings(asking("a", extra_json=b'{"novel": 1}'), "m", Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_tokens_in_place_of_a_text_cannot_be_left_out() -> None:
    request = asking("a")
    request.inputs.add().tokens.tokens.append(1)
    with pytest.raises(TollwayError, match=r"embedding\.inputs\[1\]\.tokens") as caught:
        encode_embeddings(request, "m", Unsaid(allowed=True))
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_nothing_to_embed_is_no_question() -> None:
    with pytest.raises(TollwayError) as caught:
        encode_embeddings(asking(), "m", Unsaid())
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_vectors_come_in_the_order_of_the_texts() -> None:
    body = {
        "embeddings": [{"values": [0.5, -1]}, {"values": [2]}],
        "usageMetadata": {"promptTokenCount": 3},
        "novel": 1,
    }
    response = decode_embeddings(json.dumps(body).encode())
    assert [(each.index, list(each.values)) for each in response.embeddings] == [(0, [0.5, -1.0]), (1, [2.0])]
    assert response.usage == chat_pb2.Usage(input_tokens=3)
    assert json.loads(response.extra_json) == {"novel": 1}
    assert not decode_embeddings(b'{"embeddings": []}').HasField("usage")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", Reason.UPSTREAM_MALFORMED),
        (b'{"embeddings": [{"values": "x"}]}', Reason.UPSTREAM_MALFORMED),
        (b'{"error": {"code": 429, "message": "Slow down."}}', Reason.UPSTREAM_RATE_LIMITED),
    ],
)
def test_a_body_without_vectors_is_an_error(body: bytes, reason: Reason) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_embeddings(body)
    assert caught.value.reason is reason
