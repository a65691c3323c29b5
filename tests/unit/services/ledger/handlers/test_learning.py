from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.prices import PriceBook
from services.ledger.adapters.bell import Bell
from services.ledger.domain.catalogue import Found
from services.ledger.handlers.learning import Learning
from tollway.ledger.v1.ledger_pb2 import Price

BEGINNING = Timestamp()
OURS = ("openai", "stranger")


class FakeCatalogue:
    """Implements `ports.Catalogue`; knows of OpenAI's models that begin with "gpt"."""

    providers = OURS

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self.broken = False
        self.amount = 1
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def look_up(self, models: Sequence[tuple[str, str]]) -> Found:
        self.asked.append(list(models))
        await self.going_on.wait()
        if self.broken:
            raise TollwayError(Reason.SERVICE_UNAVAILABLE, "the catalogue of prices could not be read: no such file")
        prices = [
            [
                Price(
                    provider_name=provider, model_name=model, input_nanos_per_1m=self.amount, effective_time=Timestamp()
                )
            ]
            for provider, model in models
            if provider == "openai" and model.startswith("gpt")
        ]
        return Found(prices, [provider for provider, _ in models if provider == "stranger"])


class Shelf:
    """Implements `ports.Prices` and `ports.Transactions` in memory."""

    def __init__(self) -> None:
        self.prices: list[Price] = []
        self.inside = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self.inside = True
        yield
        self.inside = False

    async def book(self) -> PriceBook:
        return PriceBook(self.prices)

    async def set_at(self, provider: str, model: str, effective: Timestamp) -> Price | None:
        raise NotImplementedError

    async def add(self, price: Price) -> None:
        assert self.inside
        self.prices.append(price)


class School:
    def __init__(self) -> None:
        self.clock, self.catalogue, self.shelf, self.bell = VirtualClock(), FakeCatalogue(), Shelf(), Bell()
        self.learning = Learning(self.catalogue, self.shelf, self.shelf, self.bell, self.clock)

    def begin(self, *models: str, provider: str = "openai") -> asyncio.Task[None]:
        return asyncio.ensure_future(self.learning.learn([(provider, model) for model in models]))

    @property
    def versions(self) -> list[str]:
        return [price.version for price in self.shelf.prices]


@pytest.fixture
async def school() -> AsyncIterator[School]:
    made = School()
    yield made
    await made.learning.close()


async def test_what_the_catalogue_knows_is_among_the_prices_when_learning_returns(school: School) -> None:
    await school.begin("gpt-5", "nobodys")
    assert school.versions == ["openai/gpt-5@1970-01-01T00:00:00Z#1"]
    assert school.bell._changes == 1


async def test_no_model_is_asked_for_twice_whether_or_not_it_is_known(school: School) -> None:
    for _ in range(3):
        await school.begin("gpt-5", "nobodys")
    assert school.catalogue.asked == [[("openai", "gpt-5"), ("openai", "nobodys")]]


async def test_those_who_ask_at_once_share_one_reading(school: School) -> None:
    await asyncio.gather(*(school.begin("gpt-5") for _ in range(9)))
    assert school.catalogue.asked == [[("openai", "gpt-5")]]


async def test_what_is_asked_for_during_a_reading_goes_into_the_next_after_a_pause(school: School) -> None:
    school.catalogue.going_on.clear()
    first = school.begin("gpt-5")
    await school.clock.advance(0)
    others = [school.begin(model) for model in ("gpt-6", "gpt-7", "gpt-5")]
    await school.clock.advance(0)
    school.catalogue.going_on.set()
    await first
    await school.clock.advance(0.9)
    assert len(school.catalogue.asked) == 1
    await school.clock.advance(0.2)
    await asyncio.gather(*others)
    assert school.catalogue.asked[1:] == [[("openai", "gpt-6"), ("openai", "gpt-7")]]


async def test_made_up_names_one_after_the_other_are_read_at_most_once_a_second(school: School) -> None:
    for number in range(20):
        asking = school.begin(f"made-up-{number}")
        await school.clock.advance(0.25)
        asking.cancel()
    assert 5 <= len(school.catalogue.asked) <= 6


async def test_a_provider_that_is_not_in_the_catalogue_is_asked_for_once_and_one_that_is_not_ours_never(
    school: School,
) -> None:
    await school.begin("a", provider="stranger")
    await school.begin("b", provider="stranger")
    await school.begin("gpt-5", provider="somebody")
    assert school.catalogue.asked == [[("stranger", "a")]]


async def test_nobody_waits_for_a_catalogue_that_cannot_be_read_until_a_minute_has_passed(
    school: School, caplog: pytest.LogCaptureFixture
) -> None:
    school.catalogue.broken = True
    await school.begin("gpt-5")
    await school.begin("gpt-5", "gpt-6")
    assert len(school.catalogue.asked) == 1
    assert "no such file" in caplog.text
    school.catalogue.broken = False
    await school.clock.advance(61)
    await school.begin("gpt-5")
    assert school.versions == ["openai/gpt-5@1970-01-01T00:00:00Z#1"]


async def test_a_price_that_cannot_be_is_left_out_with_a_word_why(
    school: School, caplog: pytest.LogCaptureFixture
) -> None:
    school.catalogue.amount = -1
    await school.begin("gpt-5")
    assert school.versions == []
    assert "input_nanos_per_1m: -1" in caplog.text


async def test_who_waits_is_let_go_when_the_ledger_closes(school: School) -> None:
    school.catalogue.going_on.clear()
    asking = school.begin("gpt-5")
    await school.clock.advance(0)
    await school.learning.close()
    await asking
    assert school.versions == []
