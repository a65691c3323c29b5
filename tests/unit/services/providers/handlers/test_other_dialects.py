"""Models of a provider that are spoken to otherwise than the rest of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import Clock
from services.providers import bootstrap
from services.providers.domain.wire import Limits, Outgoing
from services.providers.ports import Answer
from tests.unit.services.providers.house import asking, open_house, text_of
from tollway.providers.v1 import providers_pb2

FIXTURES = Path(__file__).parents[4] / "providers" / "fixtures"


class Recorded:
    """An answer that is a fixture's."""

    status = 200

    def __init__(self, body: bytes, kind: str) -> None:
        self.headers: Mapping[str, str] = {"content-type": kind}
        self._body = body

    async def read(self, deadline: float | None) -> bytes:
        body, self._body = self._body, b""
        return body

    async def finish(self) -> None:
        """There is nothing left to read."""

    def close(self) -> None:
        """There is no connection."""


class Everyone:
    """Stands in for all providers: answers in the dialect of the path that it is asked at."""

    def __init__(self) -> None:
        self.calls: list[Outgoing] = []

    async def open(self, call: Outgoing, limits: Limits) -> Answer:
        self.calls.append(call)
        if call.url.endswith("/input_tokens"):
            return Recorded(b'{"input_tokens": 11}', "application/json")
        dialect = "openai_responses" if call.url.endswith("/responses") else "openai"
        if json.loads(call.body).get("stream"):
            return Recorded((FIXTURES / dialect / "plain_stream" / "upstream.sse").read_bytes(), "text/event-stream")
        return Recorded((FIXTURES / dialect / "plain" / "upstream.json").read_bytes(), "application/json")

    async def close(self) -> None:
        """There is nothing open."""


@pytest.fixture
def everyone(monkeypatch: pytest.MonkeyPatch) -> Everyone:
    transport = Everyone()

    def stand_in(clock: Clock) -> Any:
        return transport

    monkeypatch.setattr(bootstrap, "_http_transport", stand_in)
    return transport


@pytest.mark.parametrize(
    ("base_url", "model", "url"),
    [
        ("", "o3-pro", "https://api.openai.com/v1/responses"),
        ("", "gpt-4o", "https://api.openai.com/v1/chat/completions"),
        ("https://eu.api.openai.com/v1", "gpt-5-codex", "https://eu.api.openai.com/v1/responses"),
        ("http://127.0.0.1:1/v1", "o3-pro", "http://127.0.0.1:1/v1/chat/completions"),
    ],
)
async def test_openai_is_asked_by_responses_for_the_models_that_exist_nowhere_else(
    everyone: Everyone, base_url: str, model: str, url: str
) -> None:
    async with open_house({"openai": {"dialect": "openai", "api_key": "k", "base_url": base_url}}) as house:
        whole = await house.create(model, "openai")
        streamed = await house.stream(model, "openai")
    assert [call.url for call in everyone.calls] == [url, url]
    assert [json.loads(call.body)["model"] for call in everyone.calls] == [model, model]
    assert whole.chat.choices[0].message.content[0].text.startswith("Hello")
    assert text_of(streamed).startswith("Hello")


async def test_openai_counts_for_the_models_that_responses_have(everyone: Everyone) -> None:
    async with open_house({"openai": {"dialect": "openai", "api_key": "k"}}) as house:
        asked = {name: value for name, value in asking("o3-pro", "openai").items() if name != "attempt_id"}
        counted = await house.stub.CountTokens(providers_pb2.CountTokensRequest(**asked))
    assert [call.url for call in everyone.calls] == ["https://api.openai.com/v1/responses/input_tokens"]
    assert (counted.input_tokens, counted.estimated) == (11, False)


async def test_a_sim_speaks_one_dialect_whatever_its_models_are_called() -> None:
    async with open_house({"sim": {"dialect": "sim"}}) as house:
        assert (await house.create("o3-pro", "sim")).chat.dialect == ""
