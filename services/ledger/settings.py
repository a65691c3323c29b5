"""What the ledger is told at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mesh.config.schema import Config, PriceEntry
from mesh.errors import invalid
from tollway.ledger.v1.ledger_pb2 import Price


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A PostgreSQL database; `url` may hold a password."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where attempts are booked, and the prices of the configuration (without version or effective time)."""

    database: Path | DatabaseUrl
    prices: tuple[Price, ...] = ()
    busy_timeout: float = 5.0
    """Seconds for which a write waits for another process to end its own."""

    retention: float | None = None
    """Seconds for which details are kept; older ones are rolled into daily totals. None: for ever."""

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> LedgerSettings:
        """Raises TollwayError INVALID_REQUEST for a `ledger.url` that names no file."""
        prices, retention = tuple(_price(entry) for entry in config.prices), config.ledger.retention
        if not config.ledger.url.startswith("sqlite:"):
            return cls(DatabaseUrl(config.ledger.url), prices, retention=retention)
        # Cut by hand rather than parsed: a data directory may hold characters that mean something in a URL.
        file = config.ledger.url.removeprefix("sqlite:///").replace("{data_dir}", str(data_dir))
        if file == ":memory:":
            raise invalid("ledger.url", "must name a file: a ledger that forgets is none")
        return cls(Path(file), prices, retention=retention)


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
