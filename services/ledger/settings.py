"""What the ledger is told at start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from mesh.config.schema import BudgetEntry, Config, Deployment, LargePromptRates, PriceTerms, Rates, ServiceTierRates
from mesh.errors import invalid
from mesh.prices import ANY
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
)
from tollway.ledger.v1.ledger_pb2 import ContextTier, Markup, Price, ServiceTier
from tollway.ledger.v1.ledger_pb2 import Rates as RatesMessage

_NOBODY = "none"
_OPENAI = "https://api.openai.com/v1"
"""Where a provider is that speaks OpenAI's dialect and says nothing of an address."""

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
class Callee:
    """A provider, as far as the catalogue can know it: by the id it is said to have there, its address or its name."""

    name: str
    base_url: str = field(default="", repr=False)
    catalogue_id: str = ""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where attempts are booked, and what the configuration says of budgets and prices (without ids or times).

    `callees` are the providers whose prices the catalogue may have, `uncatalogued` those that are to have none of it
    (None: all of them), `deployments` the providers' models that are known beforehand.
    """

    database: Path | DatabaseUrl
    prices: tuple[Price, ...] = ()
    busy_timeout: float = 5.0
    """Seconds for which a write waits for another process to end its own."""

    retention: float | None = None
    """Seconds for which details are kept; older ones are rolled into daily totals. None: for ever."""

    budgets: tuple[Budget, ...] = ()
    markups: tuple[Markup, ...] = ()
    callees: tuple[Callee, ...] = ()
    uncatalogued: frozenset[str] | None = frozenset()
    deployments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> LedgerSettings:
        """Raises TollwayError INVALID_REQUEST for a `ledger.url` that names no file."""
        return cls(
            _database(config.ledger.url, data_dir),
            prices=_prices(config),
            retention=config.ledger.retention,
            budgets=tuple(_budget(entry) for entry in config.budgets),
            markups=_markups(config),
            callees=_callees(config) if config.ledger.catalogue else (),
            uncatalogued=_uncatalogued(config) if config.ledger.catalogue else None,
            deployments=tuple(deployed for deployed, _ in _deployments(config)),
        )


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


def _database(url: str, data_dir: Path) -> Path | DatabaseUrl:
    if not url.startswith("sqlite:"):
        return DatabaseUrl(url)
    # Cut by hand rather than parsed: a data directory may hold characters that mean something in a URL.
    file = url.removeprefix("sqlite:///").replace("{data_dir}", str(data_dir))
    if file == ":memory:":
        raise invalid("ledger.url", "must name a file: a ledger that forgets is none")
    return Path(file)


def _deployments(config: Config) -> Iterator[tuple[tuple[str, str], Deployment]]:
    """Each deployment of one model, by provider and model."""
    for entry, model in config.models.items():
        for deployment in model.deployments:
            named = deployment.model or entry
            if "*" not in named:
                yield (deployment.provider, named), deployment


def _callees(config: Config) -> tuple[Callee, ...]:
    return tuple(
        Callee(name, provider.base_url or _OPENAI, provider.catalogue)
        for name, provider in config.providers.items()
        if provider.dialect != "sim" and provider.catalogue != _NOBODY
    )


def _uncatalogued(config: Config) -> frozenset[str]:
    return frozenset(name for name, provider in config.providers.items() if provider.catalogue == _NOBODY)


def _markups(config: Config) -> tuple[Markup, ...]:
    found = {(name, ANY): provider.markup for name, provider in config.providers.items() if provider.markup}
    found |= {deployed: entry.markup for deployed, entry in _deployments(config) if entry.markup is not None}
    return tuple(Markup(provider_name=name, model_name=model, ppm=ppm) for (name, model), ppm in found.items())


def _prices(config: Config) -> tuple[Price, ...]:
    listed = {
        (entry.provider, entry.model): price_on_terms(entry.provider, entry.model, entry) for entry in config.prices
    }
    for (provider, model), deployment in _deployments(config):
        if deployment.price is not None:
            listed[provider, model] = price_on_terms(provider, model, deployment.price)
    return tuple(listed.values())


def price_on_terms(provider: str, model: str, terms: PriceTerms) -> Price:
    """The price that an entry of the configuration says."""
    price = Price(
        provider_name=provider,
        model_name=model,
        max_context_tokens=terms.context,
        request_nanos=terms.request,
        context_tiers=_context_tiers(terms.above),
        service_tiers=(_service_tier(name, tier) for name, tier in terms.tiers.items()),
    )
    for name, nanos in _amounts(terms).items():
        setattr(price, name, nanos)
    return price


def _service_tier(name: str, tier: ServiceTierRates) -> ServiceTier:
    if tier.multiplier is not None:
        return ServiceTier(name=name, multiplier_ppm=tier.multiplier)
    return ServiceTier(name=name, rates=RatesMessage(**_amounts(tier)), context_tiers=_context_tiers(tier.above))


def _context_tiers(tiers: Iterable[LargePromptRates]) -> Iterator[ContextTier]:
    for tier in tiers:
        yield ContextTier(above_input_tokens=tier.tokens, rates=RatesMessage(**_amounts(tier)))


def _amounts(rates: Rates | ServiceTierRates) -> dict[str, int]:
    """By the contract's names; what is not there is left out."""
    amounts = {f"{name}_nanos_per_1m": getattr(rates, name) for name in Rates.model_fields}
    return {name: nanos for name, nanos in amounts.items() if nanos is not None}
