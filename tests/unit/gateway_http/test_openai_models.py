from __future__ import annotations

from datetime import UTC, datetime

import openai
import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import Edge
from tollway.router.v1 import router_pb2 as rpc


async def test_the_openai_sdk_lists_models(edge: Edge) -> None:
    edge.router.models[0].create_time.FromDatetime(datetime(2026, 11, 20, tzinfo=UTC))

    models = [model async for model in edge.openai().models.list()]

    assert [(model.id, model.object, model.owned_by) for model in models] == [
        ("gpt-4o", "model", "openai"),
        ("local/llama", "model", "local"),
    ]
    assert models[0].created == int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())


async def test_models_of_many_pages_are_one_list(edge: Edge) -> None:
    edge.router.models = [rpc.Model(name=f"m{i}") for i in range(5)]
    edge.router.page_size = 2

    reply = await edge.ask("GET", "/v1/models")

    assert [model["id"] for model in reply.json["data"]] == ["m0", "m1", "m2", "m3", "m4"]
    assert reply.json["object"] == "list"


@pytest.mark.parametrize("path", ["local/llama", "local%2Fllama"])
async def test_a_model_s_name_may_have_slashes(edge: Edge, path: str) -> None:
    reply = await edge.ask("GET", f"/v1/models/{path}")

    assert reply.json == {"id": "local/llama", "object": "model", "created": 0, "owned_by": "local"}


async def test_a_model_tells_what_it_does(edge: Edge) -> None:
    edge.router.models = [rpc.Model(name="echo", description="Says what you said.")]

    assert (await edge.ask("GET", "/v1/models/echo")).json["description"] == "Says what you said."


async def test_a_name_that_a_pattern_stands_for_is_a_model(edge: Edge) -> None:
    edge.router.models = [rpc.Model(name="openai/*", owner="openai")]

    model = await edge.openai().models.retrieve("openai/gpt-4o")

    assert (model.id, model.owned_by) == ("openai/gpt-4o", "openai")


async def test_a_model_that_is_not_there_is_a_404(edge: Edge) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await edge.openai().models.retrieve("gpt-5")

    assert raised.value.code == "model_not_found"
    assert "there is no model 'gpt-5'" in raised.value.message


async def test_a_name_that_is_not_text_is_a_404(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(method="GET", path="/v1/models/a%FFb")

        reply = await client.reply()

    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_a_router_that_cannot_be_asked_is_a_503(edge: Edge) -> None:
    edge.router.models_error = TollwayError(Reason.SERVICE_UNAVAILABLE, "the router is starting")

    reply = await edge.ask("GET", "/v1/models")

    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
