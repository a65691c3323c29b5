from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError, invalid
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import Edge, Reply
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, embedded
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, TokenList

PATH = "/v1/embeddings"
QUESTION: dict[str, Any] = {"model": "e-3", "input": "Hello"}
JSON = {"content-type": "application/json"}


async def post(edge: Edge, question: Any = None, headers: dict[str, str] | None = None, raw: bytes = b"") -> Reply:
    body = raw or json.dumps(QUESTION if question is None else question).encode()
    return await edge.ask("POST", PATH, body, {**JSON, **(headers or {})})


def text(said: str) -> EmbeddingInput:
    return EmbeddingInput(text=said)


def tokens(*given: int) -> EmbeddingInput:
    return EmbeddingInput(tokens=TokenList(tokens=given))


async def test_the_openai_sdk_reads_vectors(edge: Edge) -> None:
    answer = await edge.openai().embeddings.create(model="e-3", input=["Hello", "there"], dimensions=2, user="ada")

    assert [round(number, 6) for number in answer.data[0].embedding] == [0.1, -2.5]
    assert answer.model == "text-embedding-3-small"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)
    (request,) = edge.router.requests
    assert list(request.embedding.inputs) == [text("Hello"), text("there")]
    assert (request.embedding.model, request.embedding.dimensions, request.embedding.user) == ("e-3", 2, "ada")
    assert not request.embedding.extra_json


async def test_numbers_are_written_with_the_digits_they_need(edge: Edge) -> None:
    reply = await post(edge)

    assert b'"embedding":[0.1,-2.5]' in reply.body
    assert reply.json == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.1, -2.5]},
            {"object": "embedding", "index": 1, "embedding": [1, 0]},
        ],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


async def test_base64_is_little_endian_floats(edge: Edge) -> None:
    edge.router.vectors = embedded([1.0])
    reply = await post(edge, {**QUESTION, "encoding_format": "base64"})
    assert reply.json["data"][0]["embedding"] == "AACAPw=="


async def test_vectors_are_told_in_the_order_of_the_inputs(edge: Edge) -> None:
    answer = embedded([1.0], [2.0])
    answer.embedding.embeddings[0].index, answer.embedding.embeddings[1].index = 1, 0
    edge.router.vectors = answer
    assert [each["embedding"] for each in (await post(edge)).json["data"]] == [[2], [1]]


async def test_many_vectors_are_all_written(edge: Edge) -> None:
    edge.router.vectors = embedded(*([float(i)] for i in range(50)))
    assert [each["embedding"] for each in (await post(edge)).json["data"]] == [[i] for i in range(50)]


async def test_headers_say_how_it_came_about_and_what_it_cost(edge: Edge) -> None:
    reply = await post(edge)
    assert reply.headers["x-tollway-deployment"] == DEPLOYMENT
    assert reply.headers["x-tollway-cost-usd"] == "0.00014"
    assert reply.headers["x-request-id"] == edge.router.requests[0].request_id


async def test_what_a_provider_did_not_count_is_null(edge: Edge) -> None:
    answer = embedded([1.0])
    answer.embedding.ClearField("usage")
    answer.embedding.ClearField("model")
    edge.router.vectors = answer
    reply = await post(edge)
    assert (reply.json["usage"], reply.json["model"]) == (None, "e-3")


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("Hi", [text("Hi")]),
        (["Hi", "there"], [text("Hi"), text("there")]),
        ([1, 2], [tokens(1, 2)]),
        ([[1, 2], [3]], [tokens(1, 2), tokens(3)]),
        (["Hi", [3]], [text("Hi"), tokens(3)]),
    ],
)
async def test_inputs_are_read_in_all_their_forms(edge: Edge, given: Any, inputs: list[EmbeddingInput]) -> None:
    await post(edge, {"model": "e-3", "input": given})
    assert list(edge.router.requests[0].embedding.inputs) == inputs


async def test_fields_that_are_not_known_travel_with_the_question(edge: Edge) -> None:
    await post(edge, {**QUESTION, "input_type": "search_query", "nested": {"a": [1]}})
    assert json.loads(edge.router.requests[0].embedding.extra_json) == {
        "input_type": "search_query",
        "nested": {"a": [1]},
    }


async def test_what_a_provider_says_besides_comes_back(edge: Edge) -> None:
    answer = embedded([1.0])
    answer.embedding.extra_json = b'{"id": "emb-1"}'
    edge.router.vectors = answer
    assert (await post(edge)).json["id"] == "emb-1"


async def test_headers_of_the_question_reach_the_router(edge: Edge) -> None:
    headers = {
        "x-tollway-tags": "nightly",
        "x-tollway-session": "s",
        "idempotency-key": "k",
        "x-tollway-drop-unsupported": "1",
        "authorization": "Bearer key",
        "x-tollway-timeout": "7s",
    }
    await post(edge, headers=headers)
    (request,), (metadata,) = edge.router.requests, edge.router.metadata
    assert (list(request.tags), request.preferences.session) == (["nightly"], "s")
    assert (request.preferences.idempotency_key, request.preferences.drop_unsupported) == ("k", True)
    assert metadata["authorization"] == "Bearer key"
    assert edge.router.time_remaining is not None
    assert edge.router.time_remaining < 8


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"input": "x"}, "model"),
        ({"model": None, "input": "x"}, "model"),
        ({"model": 7, "input": "x"}, "model"),
        ({"model": "", "input": "x"}, "model"),
        ({"model": "e"}, "input"),
        ({"model": "e", "input": []}, "input"),
        ({"model": "e", "input": ""}, "input[0]"),
        ({"model": "e", "input": 7}, "input"),
        ({"model": "e", "input": {"text": "x"}}, "input"),
        ({"model": "e", "input": ["x", ""]}, "input[1]"),
        ({"model": "e", "input": ["x", None]}, "input[1]"),
        ({"model": "e", "input": [1, "x"]}, "input[0][1]"),
        ({"model": "e", "input": [[1], []]}, "input[1]"),
        ({"model": "e", "input": [[1.5]]}, "input[0][0]"),
        ({"model": "e", "input": [2**31]}, "input[0][0]"),
        ({"model": "e", "input": [True]}, "input[0]"),
        ({"model": "e", "input": "x", "dimensions": "4"}, "dimensions"),
        ({"model": "e", "input": "x", "dimensions": 0}, "dimensions"),
        ({"model": "e", "input": "x", "dimensions": 2**40}, "dimensions"),
        ({"model": "e", "input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "e", "input": "x", "encoding_format": []}, "encoding_format"),
        ({"model": "e", "input": "x", "user": 7}, "user"),
    ],
)
async def test_what_cannot_be_asked_is_a_400_that_names_the_field(edge: Edge, question: Any, field: str) -> None:
    reply = await post(edge, question)
    assert (reply.status, reply.error["type"], reply.error["param"]) == (400, "invalid_request_error", field)
    assert not edge.router.requests


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b"\xff", b'{"model": "e", "input": "\\u0000"}'])
async def test_a_body_that_is_no_object_is_a_400(edge: Edge, raw: bytes) -> None:
    reply = await post(edge, raw=raw)
    assert reply.status == 400
    assert not edge.router.requests


async def test_explaining_is_refused_by_the_header_s_name(edge: Edge) -> None:
    reply = await post(edge, headers={"x-tollway-explain": "1"})
    assert (reply.status, reply.error["param"]) == (400, "x-tollway-explain")


async def test_a_body_that_is_no_json_is_a_415(edge: Edge) -> None:
    assert (await post(edge, headers={"content-type": "text/plain"})).status == 415


async def test_a_body_that_is_too_large_is_a_413(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=1000)
    reply = await post(edge, {"model": "e", "input": "x" * 1000})
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TollwayError(Reason.RATE_LIMITED, "slow down"), 429, "rate_limit_exceeded"),
        (TollwayError(Reason.UPSTREAM_FAILED, "it failed"), 503, "upstream_failed"),
        (TollwayError(Reason.UNAUTHENTICATED, "who?"), 401, "invalid_api_key"),
        (invalid("embedding.dimensions", "is too many"), 400, None),
    ],
)
async def test_what_the_router_says_is_told_in_openai_s_shape(
    edge: Edge, error: TollwayError, status: int, code: str | None
) -> None:
    edge.router.vectors = error
    reply = await post(edge)
    assert (reply.status, reply.error["code"]) == (status, code)


async def test_a_vector_that_is_no_numbers_is_a_failure_of_its_provider(edge: Edge) -> None:
    edge.router.vectors = embedded([float("nan")])
    reply = await post(edge)
    assert (reply.status, reply.error["code"]) == (502, "upstream_malformed")
