"""The shape of `tollway.yaml`: every key, its type and its default.

Values are written in the notations of `mesh.config.values` (`Timeouts(gap="50ms")` in code, too) and read as plain
numbers. A field that `repr` does not show may hold a secret, and no message repeats its value.
"""

from __future__ import annotations

from pydantic import Field

from mesh.config.schema.access import MOST_TAGS, BudgetEntry, Key, Limit
from mesh.config.schema.calling import Breaker, Hedge, Timeouts
from mesh.config.schema.models import CacheOptIn, Defaults, Deployment, Model
from mesh.config.schema.prices import LargePromptRates, PriceEntry, PriceTerms, Rates, ServiceTierRates
from mesh.config.schema.providers import (
    MOST_SIM_RATE,
    MOST_SIM_TOKENS,
    UNION_TAGS,
    Credentials,
    Drain,
    Provider,
    SimOptions,
)
from mesh.config.schema.rules import Rule, RuleAction, RuleCondition, RuleParameters, RuleTime, RuleTokens
from mesh.config.schema.section import Section
from mesh.config.schema.serving import Cache, Grpc, Http, Idempotency, Journal, Ledger, State, Telemetry, Tls

__all__ = [
    "MOST_SIM_RATE",
    "MOST_SIM_TOKENS",
    "MOST_TAGS",
    "UNION_TAGS",
    "Breaker",
    "BudgetEntry",
    "Cache",
    "CacheOptIn",
    "Config",
    "Credentials",
    "Defaults",
    "Deployment",
    "Drain",
    "Hedge",
    "Http",
    "Idempotency",
    "Key",
    "LargePromptRates",
    "Ledger",
    "Limit",
    "Model",
    "PriceEntry",
    "PriceTerms",
    "Provider",
    "Rates",
    "Rule",
    "RuleAction",
    "RuleCondition",
    "RuleParameters",
    "RuleTime",
    "RuleTokens",
    "Section",
    "ServiceTierRates",
    "SimOptions",
    "State",
    "Telemetry",
    "Timeouts",
    "Tls",
]


class Config(Section):
    """The whole file. Nothing is required."""

    providers: dict[str, Provider] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    prices: tuple[PriceEntry, ...] = ()
    budgets: tuple[BudgetEntry, ...] = ()
    limits: tuple[Limit, ...] = ()
    rules: tuple[Rule, ...] = ()
    keys: tuple[Key, ...] = ()
    ledger: Ledger = Ledger()
    journal: Journal = Journal()
    state: State = State()
    idempotency: Idempotency = Idempotency()
    cache: Cache = Cache()
    telemetry: Telemetry = Telemetry()
    http: Http = Http()
    grpc: Grpc = Grpc()
