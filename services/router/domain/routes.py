"""Which deployments may answer for a name, in which order.

`mesh.config.patterns` says how a name finds its entry and what a deployment's model is then called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from mesh.config.patterns import find, upstream_model
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.hedging import Hedge
from tollway.ledger.v1.ledger_pb2 import Attempt
from tollway.providers.v1.providers_pb2 import CallTimeouts

_PLANS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """A provider's model that can answer; times are in seconds.

    An empty `model` stands for what the client asked for. `context` is its window in tokens, None where not known;
    `total` what a call to it may take; `drain` how long an abandoned answer is read on for. `can` is what it can do,
    None everything but prefill, which is going on from a last message of the assistant's.
    """

    provider: str
    model: str = ""
    model_provider: str = ""
    context: int | None = None
    retries: int = 3
    timeouts: CallTimeouts = field(default_factory=CallTimeouts)
    total: float = 600.0
    drain: float = 0.0
    can: frozenset[str] | None = None
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class Route:
    """What stands behind a name or pattern. Fallbacks are other names; their own fallbacks are not followed.

    An answer that breaks off is gone on with by at most so many further calls (`continuations`); an `assured` one is
    held back until it is whole, unless the question wants otherwise. `hedge` says when a second attempt is made beside
    a slow first one; None: never.
    """

    name: str
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[str, ...] = ()
    description: str = ""
    continuations: int = 2
    assured: bool = False
    hedge: Hedge | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may answer one question, with its model's name filled in.

    `stands_for` is the name it was found under: the model asked for, or a fallback. `columns` holds what is the same in
    the ledger's row of every attempt on it, `labels` what it is measured under. `whole_timeouts` are the deployment's
    for a whole answer, whose headers many providers send when it is done: it may take what the call may take.
    """

    stands_for: str
    deployment: Deployment
    model: str
    name: str
    """`provider/model`"""
    columns: Attempt
    labels: Mapping[str, str]
    whole_timeouts: CallTimeouts


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for a name, in order; at least one."""

    requested: str
    route: Route
    candidates: tuple[Candidate, ...]


class Routes:
    """Every name that clients may use. Raises ValueError for a fallback that is none of them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.name: route for route in routes}
        for route in self._routes.values():
            for fallback in route.fallbacks:
                if find(self._routes, fallback) is None:
                    raise ValueError(f"models.{route.name}.fallbacks: no model is called {fallback!r}")
        # Pass-through names are as many as clients make up, so the plans kept are bounded.
        self.plan = lru_cache(_PLANS_KEPT)(self._plan)

    def __iter__(self) -> Iterator[Route]:
        """In the order of the configuration."""
        return iter(self._routes.values())

    def _plan(self, requested: str) -> Plan | None:
        """Who is asked for that name: its model's deployments, then its fallbacks', without repeats. None: nobody."""
        route = self._find(requested)
        if route is None:
            return None
        candidates: dict[str, Candidate] = {}
        for candidate in self._candidates(route, requested):
            candidates.setdefault(candidate.name, candidate)
        return Plan(requested, route, tuple(candidates.values())) if candidates else None

    def _candidates(self, route: Route, requested: str) -> Iterator[Candidate]:
        yield from _deployed(route, requested, requested)
        for fallback in route.fallbacks:
            found = self._find(fallback)
            if found is not None:
                yield from _deployed(found, fallback, requested)

    def _find(self, name: str) -> Route | None:
        entry = find(self._routes, name)
        return None if entry is None else self._routes[entry]


def _deployed(route: Route, name: str, requested: str) -> Iterator[Candidate]:
    for deployment in route.deployments:
        model = upstream_model(route.name, name, deployment.model)
        if not model:  # the pattern's beginning alone was asked for, and names no model
            continue
        deployed = f"{deployment.provider}/{model}"
        columns = Attempt(
            model_requested=requested,
            model_used=model,
            model_provider=deployment.model_provider,
            provider_name=deployment.provider,
            deployment=deployed,
        )
        labels = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": deployment.model_provider,
            "gen_ai.request.model": requested,
            "tollway.provider": deployment.provider,
        }
        whole = CallTimeouts()
        whole.CopyFrom(deployment.timeouts)
        whole.ClearField("headers")
        whole.ClearField("first_token")
        yield Candidate(name, deployment, model, deployed, columns, labels, whole)
