from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.config.schema import Config
from mesh.errors import TollwayError
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    Budget,
)
from tollway.ledger.v1.ledger_pb2 import Price


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
