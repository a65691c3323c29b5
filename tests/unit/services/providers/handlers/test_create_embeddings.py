from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.services.providers.house import ATTEMPT, House, open_house
from tests.unit.services.providers.upstream import Exchange, Play, upstream

PACKED = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()


def answering(body: Any, *headers: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(json.dumps(body).encode(), "200 OK", *headers)

    return play


@pytest.mark.parametrize("vector", [[0.5, -1.0], PACKED], ids=["numbers", "base64"])
async def test_vectors_are_read_however_they_come(vector: Any) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    body = {"data": data, "model": "e-2", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    play = answering(body, "x-request-id: up-1", "x-ratelimit-remaining-requests: 9")
    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        response = await house.embed("Hi", model="m", provider="p")
    assert list(response.embedding.embeddings[0].values) == [0.5, -1.0]
    assert (response.embedding.model, response.embedding.usage.input_tokens) == ("e-2", 3)
    assert response.upstream.request_id == "up-1"
    assert dict(response.upstream.rate_limits) == {"x-ratelimit-remaining-requests": "9"}
    assert server.requests[0].startswith("POST /v1/embeddings ")
    assert server.headers()["x-client-request-id"] == ATTEMPT


@pytest.mark.parametrize("body", [{}, {"data": [{}]}, {"data": 7}, [], "x"])
async def test_an_answer_without_vectors_is_malformed(body: Any) -> None:
    async with upstream(answering(body)) as server, open_house({"p": {"base_url": server.url}}) as house:
        with pytest.raises(TollwayError) as failed:
            await house.embed("Hi", provider="p")
    assert failed.value.reason is Reason.UPSTREAM_MALFORMED
    assert failed.value.metadata["upstream_status"] == "200"


async def test_a_dialect_without_vectors_cannot_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.providers.adapters import openai

    monkeypatch.delattr(openai, "encode_embeddings")
    async with open_house() as house:
        with pytest.raises(TollwayError) as failed:
            await house.embed("Hi")
    assert failed.value.reason is Reason.UNSUPPORTED_FEATURE
    assert failed.value.metadata["provider"] == "sim"


async def test_a_call_without_a_model_or_an_id_is_refused(house: House) -> None:
    with pytest.raises(TollwayError) as failed:
        await house.embed("Hi", model="")
    assert failed.value.violations[0].field == "model"
