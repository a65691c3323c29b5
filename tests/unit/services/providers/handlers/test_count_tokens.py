from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from mesh.errors import Reason, TollwayError
from services.providers import bootstrap
from services.providers.adapters import openai
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tests.unit.services.providers.house import House, open_house
from tests.unit.services.providers.upstream import Exchange, upstream
from tollway.chat.v1 import chat_pb2


def encode_count(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
    if chat.HasField("choice_count"):
        unsaid.refuse("chat.choice_count", "has no place here")
    said = [part.text for message in chat.messages for part in message.content]
    return Encoded("/responses/input_tokens", orjson.dumps({"model": model, "input": said}))


def decode_count(body: bytes) -> int:
    return int(orjson.loads(body)["input_tokens"])


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's dialect, and it counts."""
    dialect = SimpleNamespace(**vars(openai), encode_count=encode_count, decode_count=decode_count)
    monkeypatch.setattr(bootstrap, "dialect_named", lambda *_: dialect)


@pytest.fixture
def not_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(openai, "encode_count", raising=False)


@pytest.mark.usefixtures("counting")
async def test_the_provider_counts() -> None:
    async with open_house() as house:
        counted = await house.count(text="How many tokens are these?")
    assert (counted.input_tokens, counted.estimated) == (6, False)


@pytest.mark.usefixtures("not_counting")
async def test_one_that_does_not_is_not_called_and_that_is_told() -> None:
    async with open_house() as house:
        counted = await house.count("status-503")
    assert (counted.input_tokens, counted.estimated) == (0, True)


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented"])
async def test_a_server_without_the_endpoint_does_not_count(status: str) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(b"{}", status)

    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        assert (await house.count(provider="p")).estimated


@pytest.mark.usefixtures("counting")
async def test_what_the_provider_fails_with_is_told(house: House) -> None:
    with pytest.raises(TollwayError) as failed:
        await house.count("status-503")
    assert failed.value.reason is Reason.UPSTREAM_FAILED


@pytest.mark.usefixtures("counting")
async def test_what_cannot_be_told_is_refused_or_left_out_as_in_a_question() -> None:
    fields: dict[str, Any] = {"choice_count": 2}
    async with open_house() as house:
        with pytest.raises(TollwayError) as failed:
            await house.count(**fields)
        assert failed.value.reason is Reason.UNSUPPORTED_FEATURE
        counted = await house.count(drop_unsupported=True, **fields)
    assert list(counted.dropped) == ["chat.choice_count"]


@pytest.mark.usefixtures("counting")
async def test_how_many_there_were_before_any_were_cleared_is_told_where_the_dialect_reads_it() -> None:
    async with open_house() as house:
        assert not (await house.count()).HasField("original_input_tokens")


async def test_anthropic_tells_how_many_there_were_before_it_cleared_any() -> None:
    body = b'{"input_tokens": 5, "context_management": {"original_input_tokens": 50}}'

    async def play(exchange: Exchange) -> None:
        await exchange.whole(body)

    async with (
        upstream(play) as server,
        open_house({"p": {"dialect": "anthropic", "base_url": server.url, "api_key": "k"}}) as house,
    ):
        counted = await house.count(provider="p")
    assert (counted.input_tokens, counted.original_input_tokens) == (5, 50)
