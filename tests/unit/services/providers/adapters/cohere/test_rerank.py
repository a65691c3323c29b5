from __future__ import annotations

import json

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.cohere import encode_forward, forward_usage
from tollway.chat.v1 import forwarding_pb2

RERANK = forwarding_pb2.ENDPOINT_RERANK


def test_a_question_goes_on_as_it_is_but_for_its_model() -> None:
    asked = {"model": "alias", "query": "q", "documents": ["a", "b"], "top_n": 1, "new": {"x": 1}}
    question = forwarding_pb2.ForwardedQuestion(endpoint=RERANK, model="alias", json=json.dumps(asked).encode())
    encoded = encode_forward(question, "rerank-v4.0")
    assert encoded.path == "/v2/rerank"
    assert json.loads(encoded.body) == {**asked, "model": "rerank-v4.0"}


@pytest.mark.parametrize(
    "question",
    [
        forwarding_pb2.ForwardedQuestion(endpoint=forwarding_pb2.ENDPOINT_MODERATIONS, json=b"{}"),
        forwarding_pb2.ForwardedQuestion(endpoint=RERANK, form=forwarding_pb2.Form()),
    ],
)
def test_other_endpoints_are_refused(question: forwarding_pb2.ForwardedQuestion) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_forward(question, "m")
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_a_question_that_is_no_object_is_invalid() -> None:
    with pytest.raises(TollwayError, match=r"question\.json"):
        encode_forward(forwarding_pb2.ForwardedQuestion(endpoint=RERANK, json=b"[]"), "m")


def test_searches_are_what_it_took_and_tokens_where_they_are_billed() -> None:
    usage = forward_usage("application/json", b'{"results": [], "meta": {"billed_units": {"search_units": 2}}}')
    assert usage is not None
    assert json.loads(usage.extra_json) == {"billed_units": {"search_units": 2}}
    assert usage.input_tokens == 0
    usage = forward_usage("application/json; charset=utf-8", b'{"meta": {"billed_units": {"input_tokens": 9}}}')
    assert usage is not None
    assert usage.input_tokens == 9


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"meta": {}}', b'{"meta": 5}', b'{"meta": {"tokens": 7}}'])
def test_an_answer_that_says_nothing_of_it_has_no_usage(body: bytes) -> None:
    assert forward_usage("application/json", body) is None


def test_what_is_not_json_is_not_looked_into() -> None:
    assert forward_usage("text/html", b'{"meta": {"billed_units": {"search_units": 2}}}') is None
