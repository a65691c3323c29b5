"""Where questions to Azure go, by its two APIs; what is said and answered is in the fixtures."""

from __future__ import annotations

import json

import pytest

from services.providers.adapters import azure
from services.providers.adapters.azure.resource import Resource
from services.providers.bootstrap import dialect_named
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from tests.unit.services.providers.house import open_house
from tests.unit.services.providers.upstream import Exchange, upstream
from tollway.chat.v1 import chat_pb2, embedding_pb2, forwarding_pb2

DATED = Quirks(api_version="2024-10-21")
CHAT = chat_pb2.ChatRequest(
    messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])]
)
ANSWER = b'{"id":"c-1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}'


def test_the_v1_api_has_the_deployment_in_the_body() -> None:
    encoded = azure.encode_request(CHAT, "gpt-4o-eu", False, Unsaid())
    assert encoded.path == "/openai/v1/chat/completions"
    assert json.loads(encoded.body)["model"] == "gpt-4o-eu"
    assert azure.health_path == "/openai/v1/models"


@pytest.mark.parametrize(("deployment", "named"), [("gpt-4o-eu", "gpt-4o-eu"), ("a/b c", "a%2Fb%20c")])
def test_a_dated_api_has_the_deployment_in_the_path(deployment: str, named: str) -> None:
    dialect = dialect_named("azure", DATED)
    encoded = dialect.encode_request(CHAT, deployment, True, Unsaid())
    assert encoded.path == f"/openai/deployments/{named}/chat/completions?api-version=2024-10-21"
    assert dialect.health_path == "/openai/models?api-version=2024-10-21"


def test_embeddings_and_what_passes_through_go_to_the_deployment_too() -> None:
    request = embedding_pb2.EmbeddingRequest(inputs=[embedding_pb2.EmbeddingInput(text="Hi")])
    embedded = Resource(DATED).encode_embeddings(request, "ada", Unsaid())
    assert embedded.path == "/openai/deployments/ada/embeddings?api-version=2024-10-21"
    question = forwarding_pb2.ForwardedQuestion(endpoint=forwarding_pb2.ENDPOINT_IMAGE_GENERATIONS, json=b"{}")
    assert azure.encode_forward(question, "image").path == "/openai/v1/images/generations"


async def test_a_call_reaches_a_dated_api_with_its_key_and_its_id_comes_back() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(ANSWER, "200 OK", "apim-request-id: b7a2", "x-ratelimit-remaining-tokens: 99")

    async with upstream(answer) as server:
        provider = {
            "dialect": "azure",
            "base_url": f"http://127.0.0.1:{server.port}",
            "api_key": "az-key",
            "api_version": "2024-10-21",
        }
        async with open_house({"azure": provider}) as house:
            response = await house.create("gpt-4o-eu", "azure")
            line = server.requests[0].partition("\r\n")[0]
            assert line == "POST /openai/deployments/gpt-4o-eu/chat/completions?api-version=2024-10-21 HTTP/1.1"
            assert server.headers()["api-key"] == "az-key"
            assert response.upstream.request_id == "b7a2"
            assert response.upstream.rate_limits["x-ratelimit-remaining-tokens"] == "99"
