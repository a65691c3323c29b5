"""What the ledger is told at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from mesh.config.schema import BudgetEntry, Config, PriceEntry
from mesh.errors import invalid
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
)
from tollway.ledger.v1.ledger_pb2 import Price

_WINDOWS = {
    "day": BUDGET_WINDOW_DAY,
    "week": BUDGET_WINDOW_WEEK,
    "month": BUDGET_WINDOW_MONTH,
    "total": BUDGET_WINDOW_TOTAL,
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A PostgreSQL database; `url` may hold a password."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where attempts are booked, and the prices and budgets of the configuration (without versions, ids and times)."""

    database: Path | DatabaseUrl
    prices: tuple[Price, ...] = ()
    busy_timeout: float = 5.0
    """Seconds for which a write waits for another process to end its own."""

    retention: float | None = None
    """Seconds for which details are kept; older ones are rolled into daily totals. None: for ever."""

    budgets: tuple[Budget, ...] = ()

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> LedgerSettings:
        """Raises TollwayError INVALID_REQUEST for a `ledger.url` that names no file."""
        prices, retention = tuple(_price(entry) for entry in config.prices), config.ledger.retention
        budgets = tuple(_budget(entry) for entry in config.budgets)
        if not config.ledger.url.startswith("sqlite:"):
            return cls(DatabaseUrl(config.ledger.url), prices, retention=retention, budgets=budgets)
        # Cut by hand rather than parsed: a data directory may hold characters that mean something in a URL.
        file = config.ledger.url.removeprefix("sqlite:///").replace("{data_dir}", str(data_dir))
        if file == ":memory:":
            raise invalid("ledger.url", "must name a file: a ledger that forgets is none")
        return cls(Path(file), prices, retention=retention, budgets=budgets)


def _budget(entry: BudgetEntry) -> Budget:
    rolling = None if isinstance(entry.window, str) else Duration(seconds=int(entry.window))
    return Budget(
        scope=entry.scope,
        limit_nanos=entry.limit,
        window=_WINDOWS[entry.window] if isinstance(entry.window, str) else BUDGET_WINDOW_ROLLING,
        rolling=rolling,
        time_zone="" if entry.time_zone == "UTC" else entry.time_zone,
        soft=entry.soft,
        thresholds=entry.thresholds,
    )


def _price(entry: PriceEntry) -> Price:
    return Price(
        provider_name=entry.provider,
        model_name=entry.model,
        input_nanos_per_1m=entry.input,
        output_nanos_per_1m=entry.output,
        cached_input_nanos_per_1m=entry.cached_input,
        cache_write_nanos_per_1m=entry.cache_write,
        cache_write_1h_nanos_per_1m=entry.cache_write_1h,
        reasoning_nanos_per_1m=entry.reasoning,
        max_context_tokens=entry.context,
    )
