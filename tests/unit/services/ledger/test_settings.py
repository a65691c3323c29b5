from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.config.schema import Config
from mesh.errors import TollwayError
from services.ledger.settings import Callee, DatabaseUrl, LedgerSettings
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    Budget,
)
from tollway.ledger.v1.ledger_pb2 import ContextTier, Markup, Price, Rates, ServiceTier


def test_the_database_lies_in_the_data_directory_unless_told_otherwise() -> None:
    assert LedgerSettings.from_config(Config(), Path("/data")).database == Path("/data/ledger.db")
    elsewhere = Config.model_validate({"ledger": {"url": "sqlite:////var/lib/money.db"}})
    assert LedgerSettings.from_config(elsewhere, Path("/data")).database == Path("/var/lib/money.db")


def test_a_data_directory_may_hold_characters_that_mean_something_in_a_url() -> None:
    odd = Path("/da ta/50%?mode=memory#x")
    assert LedgerSettings.from_config(Config(), odd).database == odd / "ledger.db"


def test_a_ledger_is_not_kept_in_memory() -> None:
    with pytest.raises(TollwayError, match=r"ledger\.url"):
        LedgerSettings.from_config(Config.model_validate({"ledger": {"url": "sqlite:///:memory:"}}), Path("/data"))


def test_a_ledger_may_be_a_postgresql_database_whose_password_shows_nowhere() -> None:
    url = "postgresql://tollway:hush@db.example.com:5432/ledger?sslmode=require"
    settings = LedgerSettings.from_config(Config.model_validate({"ledger": {"url": url}}), Path("/data"))
    assert settings.database == DatabaseUrl(url)
    assert "hush" not in repr(settings)


def test_details_are_kept_for_ever_unless_told_otherwise() -> None:
    assert LedgerSettings.from_config(Config(), Path()).retention is None
    config = Config.model_validate({"ledger": {"retention": "90d"}})
    assert LedgerSettings.from_config(config, Path()).retention == 90 * 86_400
    with pytest.raises(ValueError, match="at least 1d"):
        Config.model_validate({"ledger": {"retention": "23h"}})


def test_prices_are_read_with_only_the_tiers_they_name() -> None:
    config = Config.model_validate(
        {"prices": [{"provider": "local", "input": "$0.10", "output": "$0.40", "cached_input": "$0", "context": 8000}]}
    )
    assert LedgerSettings.from_config(config, Path()).prices == (
        Price(
            provider_name="local",
            model_name="*",
            input_nanos_per_1m=100_000_000,
            output_nanos_per_1m=400_000_000,
            cached_input_nanos_per_1m=0,
            max_context_tokens=8000,
        ),
    )


def test_budgets_are_read_as_they_are_kept() -> None:
    written = [
        {"scope": "project:demo", "limit": "$100", "window": "month", "time_zone": "Europe/Zurich"},
        {"scope": "key:*", "limit": "5", "window": "6h", "soft": True, "thresholds": [120, "80%"]},
        {"scope": "tag:a", "limit": "$0.000000001", "window": "total", "thresholds": []},
        {"scope": "model:m", "limit": "$1", "window": "day", "time_zone": "UTC"},
    ]
    assert LedgerSettings.from_config(Config.model_validate({"budgets": written}), Path()).budgets == (
        Budget(
            scope="project:demo",
            limit_nanos=100 * 10**9,
            window=BUDGET_WINDOW_MONTH,
            time_zone="Europe/Zurich",
            thresholds=[50, 80, 100],
        ),
        Budget(
            scope="key:*",
            limit_nanos=5 * 10**9,
            window=BUDGET_WINDOW_ROLLING,
            rolling=Duration(seconds=21_600),
            soft=True,
            thresholds=[80, 120],
        ),
        Budget(scope="tag:a", limit_nanos=1, window=BUDGET_WINDOW_TOTAL),
        Budget(scope="model:m", limit_nanos=10**9, window=BUDGET_WINDOW_DAY, thresholds=[50, 80, 100]),
    )


def of(**sections: Any) -> LedgerSettings:
    return LedgerSettings.from_config(Config.model_validate(sections), Path())


def test_tiers_are_read_smallest_first_and_by_name() -> None:
    (price,) = of(
        prices=[
            {
                "provider": "a", "model": "m", "input": "0.000000003", "output": "0", "request": "$0.000000009",
                "above": [
                    {"tokens": 200, "input": "0.000000005", "output": "0", "cache_write_1h": "0.000000007"},
                    {"tokens": 100, "input": "0.000000004", "output": "0"},
                ],
                "tiers": {
                    "batch": "50%",
                    "priority": {
                        "input": "0.000000006", "output": "0.000000001",
                        "above": [{"tokens": 9, "input": "0", "output": "0"}],
                    },
                },
            }
        ]
    ).prices  # fmt: skip
    assert price == Price(
        provider_name="a", model_name="m", input_nanos_per_1m=3, request_nanos=9,
        context_tiers=[
            ContextTier(above_input_tokens=100, rates=Rates(input_nanos_per_1m=4)),
            ContextTier(above_input_tokens=200, rates=Rates(input_nanos_per_1m=5, cache_write_1h_nanos_per_1m=7)),
        ],
        service_tiers=[
            ServiceTier(name="batch", multiplier_ppm=500_000),
            ServiceTier(
                name="priority",
                rates=Rates(input_nanos_per_1m=6, output_nanos_per_1m=1),
                context_tiers=[ContextTier(above_input_tokens=9, rates=Rates())],
            ),
        ],
    )  # fmt: skip


MODELS = {
    "large": {"deployments": [{"provider": "a", "price": {"input": "1", "output": "2"}, "markup": "-2.5%"}]},
    "small": {"deployments": [{"provider": "a", "model": "tiny"}, {"provider": "b", "model": "*"}]},
    "b/*": {"deployments": [{"provider": "b"}]},
}


def test_a_deployments_price_and_markup_are_those_of_its_model_and_the_providers_markup_of_all_others() -> None:
    settings = of(models=MODELS, providers={"a": {"markup": "10%"}, "b": {}})
    assert [(price.provider_name, price.model_name, price.output_nanos_per_1m) for price in settings.prices] == [
        ("a", "large", 2 * 10**9)
    ]
    assert settings.markups == (
        Markup(provider_name="a", model_name="*", ppm=100_000),
        Markup(provider_name="a", model_name="large", ppm=-25_000),
    )
    assert settings.deployments == (("a", "large"), ("a", "tiny"))


def test_the_catalogue_is_asked_about_all_who_are_called_unless_told_otherwise() -> None:
    providers = {
        "openai": {}, "s": {"dialect": "sim"}, "eu": {"base_url": "https://eu.example.com", "catalogue": "azure"},
        "own": {"catalogue": "none"},
    }  # fmt: skip
    settings = of(providers=providers)
    assert settings.callees == (
        Callee("openai", "https://api.openai.com/v1"), Callee("eu", "https://eu.example.com", "azure"),
    )  # fmt: skip
    assert settings.uncatalogued == frozenset({"own"})
    without = of(providers=providers, ledger={"catalogue": False})
    assert (without.callees, without.uncatalogued) == ((), None)
