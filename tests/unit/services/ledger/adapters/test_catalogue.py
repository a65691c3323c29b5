"""The catalogue as it is installed: what we make of it costs what it says itself."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, TimeOfDateConstraint

from mesh.errors import Reason, TollwayError
from mesh.money import cost_nanos
from mesh.prices import PriceBook
from services.ledger.adapters.catalogue import Catalogue
from services.ledger.adapters.catalogue_reading import look_up
from services.ledger.domain.catalogue import Wanted
from services.ledger.domain.pricing import new_edition
from services.ledger.domain.validation import why_no_price
from services.ledger.settings import Callee
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import Price

OPENAI = "https://api.openai.com/v1"
USAGES: list[dict[str, int]] = [
    {"input_tokens": 1_000, "output_tokens": 500},
    {"input_tokens": 1_000_001, "output_tokens": 7},
    {"input_tokens": 150_000, "output_tokens": 10, "cached_input_tokens": 90_000},
    {"input_tokens": 300_000, "output_tokens": 9, "cache_write_tokens": 200_000, "cache_write_1h_tokens": 70_000},
]
THEIRS = {"cached_input_tokens": "cache_read_tokens"}
CONTEXTS = {
    "": {},
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
NOW = datetime.now(UTC)


def book_of(*wanted: Wanted) -> PriceBook:
    found = look_up(wanted)
    return PriceBook(price for prices in found.prices for price in new_edition(prices, PriceBook(), 0.0))


def depends_on_the_hour(model: ModelInfo) -> bool:
    conditional: list[ConditionalPrice] = [] if isinstance(model.prices, ModelPrice) else model.prices
    return any(isinstance(each.constraint, TimeOfDateConstraint) for each in conditional)


@pytest.mark.parametrize("provider", [provider.id for provider in providers])
def test_every_model_costs_what_the_catalogue_itself_says_today_and_in_a_year(provider: str) -> None:
    theirs = next(each for each in providers if each.id == provider)
    counted = {model.id: model for model in theirs.models if not depends_on_the_hour(model)}
    # By their own name, as far as that leads to them: an earlier model's pattern may take it.
    named = {name: model for name, model in counted.items() if theirs.find_model(name) is model}
    book = book_of(*(Wanted(provider, name, "", provider) for name in named))
    for name, model in named.items():
        for moment in (NOW, NOW + timedelta(days=365)):
            price = book.find(provider, name, moment.timestamp())
            if price is None:
                held = model.get_prices(moment).__dict__
                assert not {"input_mtok", "output_mtok", "requests_kcount"} & {
                    k for k, v in held.items() if v is not None
                }
                continue
            assert why_no_price(price) == ""
            for tier, context in CONTEXTS.items():
                for counts in USAGES:
                    usage = Usage(**counts, service_tier=tier)  # type: ignore[arg-type]  # each is a count
                    calculated = genai_prices.calc_price(
                        genai_prices.Usage(**{THEIRS.get(key, key): count for key, count in counts.items()}),
                        name,
                        provider_id=provider,
                        genai_request_timestamp=moment,
                        price_context=context,
                    )
                    exact = calculated.total_price * 10**9
                    assert abs(cost_nanos(usage, price) - exact) <= 1, (name, tier, counts)


@pytest.mark.parametrize(
    ("wanted", "entry"),
    [
        (Wanted("openai", "gpt-4o-mini", OPENAI), "openai/gpt-4o-mini"),
        (Wanted("anything", "gpt-4o-mini-2024-07-18", OPENAI), "openai/gpt-4o-mini"),
        (Wanted("openai", "gpt-4o-mini", "http://127.0.0.1:9100/v1"), "openai/gpt-4o-mini"),  # a stand-in, by its name
        (Wanted("eu", "gpt-4o-mini", "https://eu.example.com/v1", "openai"), "openai/gpt-4o-mini"),
        (Wanted("eu", "gpt-4o-mini", "https://eu.openai.azure.com/openai"), "openai/gpt-4o-mini"),  # which Azure sells
        (
            Wanted("gemini", "gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta"),
            "google/gemini-2.5-pro",
        ),
        (Wanted("xai", "grok-3", "http://127.0.0.1/v1"), "x-ai/grok-3"),
    ],
)
def test_a_provider_is_known_by_what_is_configured_its_address_or_its_name(wanted: Wanted, entry: str) -> None:
    ((price, *_),) = look_up([wanted]).prices
    assert (price.provider_name, price.model_name) == wanted[:2]
    assert price.catalogue_entry.startswith(f"genai-prices {genai_prices.__version__}: ")
    assert price.catalogue_entry.endswith(f": {entry}")


def test_who_is_not_in_the_catalogue_is_told_apart_from_a_model_that_is_not() -> None:
    found = look_up(
        [
            Wanted("local", "gpt-4o", "http://127.0.0.1:9100/v1"),
            Wanted("my-openai-stand-in", "gpt-4o", "http://127.0.0.1:9100/v1"),
            Wanted("local", "other", "http://127.0.0.1:9100/v1"),
            Wanted("eu", "gpt-4o", OPENAI, "no-such-provider"),
            Wanted("openai", "no-such-model", OPENAI),
        ]
    )
    assert found.prices == []
    assert found.strangers == ["local", "my-openai-stand-in", "eu"]


def test_what_is_priced_by_hours_or_pages_alone_is_not_free_but_unknown() -> None:
    hours = [
        (provider.id, model.id)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, ModelPrice) and {"audio_hours"} == set(model.prices.__dict__)
    ]
    assert hours, "there is such a model"
    assert look_up(Wanted("p", model, "", provider) for provider, model in hours).prices == []


def test_where_a_price_depends_on_the_hour_the_dearest_one_holds() -> None:
    (price, *_) = look_up([Wanted("deepseek", "deepseek-chat", "", "deepseek")]).prices[0]
    model = next(each for provider in providers for each in provider.models if each.id == "deepseek-chat")
    assert isinstance(model.prices, list)
    amounts = [each.prices.__dict__["input_mtok"] for each in model.prices]
    assert price.input_nanos_per_1m == max(amounts) * 10**9


async def test_a_process_of_its_own_reads_it_and_says_the_same() -> None:
    catalogue = Catalogue([Callee("openai", OPENAI), Callee("local", "http://127.0.0.1:1/v1")])
    models = [("openai", "gpt-4o-mini"), ("local", "gpt-4o"), ("nobody", "m")]
    assert await catalogue.look_up(models) == catalogue.look_up_here(models)
    assert await catalogue.look_up([("nobody", "m")]) == ([], []), "which needs no process"


@pytest.mark.parametrize("program", ["raise SystemExit('out of luck')", "print('{}')", "print('no JSON')"])
async def test_a_catalogue_that_cannot_be_read_is_unavailable_and_says_why(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    run = subprocess.run

    def other(command: list[str], **options: Any) -> Any:
        return run([sys.executable, "-c", program], **options)

    monkeypatch.setattr("services.ledger.adapters.catalogue.subprocess.run", other)
    with pytest.raises(TollwayError, match="could not be read") as raised:
        await Catalogue([Callee("openai", OPENAI)]).look_up([("openai", "gpt-4o-mini")])
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


def test_the_ledger_itself_never_imports_it() -> None:
    program = (
        "import sys, services.ledger.bootstrap as _; print('genai_prices' in sys.modules, 'httpx2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False False\n"


def test_a_price_says_which_entry_it_is_from() -> None:
    ((first, *_),) = look_up([Wanted("openai", "gpt-4o-mini", OPENAI)]).prices
    (price, *_) = new_edition([first], PriceBook(), 0.0)
    assert price.version == "openai/gpt-4o-mini@1970-01-01T00:00:00Z#1"
    assert price != Price()
