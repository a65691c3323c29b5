from __future__ import annotations

import json

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.cohere import decode_embeddings, encode_embeddings
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import embedding_pb2

ANSWER = {
    "id": "e-1",
    "texts": ["a", "b"],
    "embeddings": {"float": [[0.5, 0.25], [1, 2]]},
    "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 6}},
    "response_type": "embeddings_by_type",
}


def asking(*texts: str, **fields: object) -> embedding_pb2.EmbeddingRequest:
    request = embedding_pb2.EmbeddingRequest(**fields)  # type: ignore[arg-type]
    for text in texts:
        request.inputs.add(text=text)
    return request


def test_texts_go_out_with_what_they_are_for() -> None:
    encoded = encode_embeddings(asking("a", "b", dimensions=256), "embed-v4.0", Unsaid())
    assert encoded.path == "/v2/embed"
    assert json.loads(encoded.body) == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }


def test_what_they_are_for_is_the_client_s_to_say_in_cohere_s_words() -> None:
    own = asking("a", dialect="cohere", extra_json=b'{"input_type": "search_query", "embedding_types": ["int8"]}')
    body = json.loads(encode_embeddings(own, "m", Unsaid()).body)
    assert (body["input_type"], body["embedding_types"]) == ("search_query", ["int8", "float"])
    other = asking("a", extra_json=b'{"cohere": {"input_type": "clustering"}}')
    assert json.loads(encode_embeddings(other, "m", Unsaid()).body)["input_type"] == "clustering"


def test_what_cannot_be_said_is_refused_by_name() -> None:
    with pytest.raises(TollwayError, match=r"embedding\.purpose"):
        encode_embeddings(asking("a", extra_json=b'{"purpose": "x"}'), "m", Unsaid())
    with pytest.raises(TollwayError, match=r"embedding\.inputs"):
        encode_embeddings(asking(), "m", Unsaid())
    tokens = embedding_pb2.EmbeddingRequest(
        inputs=[embedding_pb2.EmbeddingInput(tokens=embedding_pb2.TokenList(tokens=[1]))]
    )
    with pytest.raises(TollwayError, match=r"embedding\.inputs\[0\]\.tokens") as caught:
        encode_embeddings(tokens, "m", Unsaid(allowed=True))
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_a_user_is_left_out() -> None:
    unsaid = Unsaid()
    encode_embeddings(asking("a", user="u"), "m", unsaid)
    assert unsaid.dropped == ["embedding.user"]


def test_vectors_come_back_in_the_order_of_the_texts_with_what_they_cost() -> None:
    response = decode_embeddings(json.dumps(ANSWER).encode())
    assert [(each.index, list(each.values)) for each in response.embeddings] == [(0, [0.5, 0.25]), (1, [1.0, 2.0])]
    assert response.usage.input_tokens == 6
    assert response.dialect == "cohere"
    assert json.loads(response.extra_json) == {"id": "e-1", "meta": {"api_version": {"version": "2"}}}


def test_vectors_of_other_types_stay_beside_them() -> None:
    answer = {**ANSWER, "embeddings": {"float": [[1]], "int8": [[7]], "binary": None}}
    assert json.loads(decode_embeddings(json.dumps(answer).encode()).extra_json)["embeddings"] == {"int8": [[7]]}


def test_no_usage_is_none() -> None:
    assert not decode_embeddings(json.dumps({**ANSWER, "meta": {}}).encode()).HasField("usage")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"embeddings": []}', b'{"embeddings": {"float": [["x"]]}}'])
def test_an_answer_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_embeddings(body)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
