"""Which deployments may answer for a name, in which order.

`mesh.config.patterns` says how a name finds its entry and what a deployment's model is then called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from mesh.config.patterns import find, upstream_model
from mesh.metrics import LabelSet
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.hedging import Hedge
from tollway.ledger.v1.ledger_pb2 import Attempt
from tollway.providers.v1.providers_pb2 import CallTimeouts

_PLANS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """A provider's model that can answer; times are in seconds.

    An empty `model` stands for what the client asked for. `weight` is its share; `can` what it can do, None everything
    but prefill, which is going on from a last message of the assistant's; `context` its window in tokens, None where
    not known; `total` what a call to it may take; `drain` how long an abandoned answer is read on for;
    `has_credential` whether its provider is called with a key, or any header of its own.
    """

    provider: str
    model: str = ""
    model_provider: str = ""
    weight: int = 1
    can: frozenset[str] | None = None
    context: int | None = None
    retries: int = 3
    timeouts: CallTimeouts = field(default_factory=CallTimeouts)
    total: float = 600.0
    drain: float = 0.0
    has_credential: bool = True
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class Route:
    """What stands behind a name or pattern. Fallbacks are other names; their own fallbacks are not followed.

    `strategy` is one of `domain.strategies`; `latency_bound` is in seconds. `sticky` says by what the same deployment
    is kept: key, session or none. An answer that breaks off is gone on with by at most so many further calls
    (`continuations`); an `assured` one is held back until it is whole, unless the question wants otherwise. `hedge`
    says when a second attempt is made beside a slow first one; None: never.
    """

    name: str
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[str, ...] = ()
    description: str = ""
    strategy: str = "ordered"
    latency_bound: float | None = None
    sticky: str = "none"
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
    labels: LabelSet
    whole_timeouts: CallTimeouts


@dataclass(frozen=True, slots=True)
class Pool:
    """The deployments of one name, among which its route's strategy chooses."""

    name: str
    route: Route
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for a name, in order. `pools` are the names it was made of, the one asked for first."""

    requested: str
    route: Route
    candidates: tuple[Candidate, ...]
    pools: tuple[Pool, ...]
    in_order: bool = False
    """Whether the configuration's order is everybody's strategy."""
    plain: bool = False
    """Whether it is in order whatever is asked, and by whom: everybody can do everything, in a window of any size, and
    nothing keeps a question to one of them."""


class UnknownName(Exception):
    """Nobody stands for that name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Routes:
    """Every name that clients may use. Raises ValueError for a fallback that is none of them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.name: route for route in routes}
        for route in self._routes.values():
            for fallback in route.fallbacks:
                if find(self._routes, fallback) is None:
                    raise ValueError(f"models.{route.name}.fallbacks: no model is called {fallback!r}")
        # Pass-through names are as many as clients make up, so the plans kept are bounded.
        self._kept = lru_cache(_PLANS_KEPT)(self._plan)

    def __iter__(self) -> Iterator[Route]:
        """In the order of the configuration."""
        return iter(self._routes.values())

    def plan(self, requested: str) -> Plan | None:
        """Who is asked for that name: its model's deployments, then its fallbacks', without repeats. None: nobody."""
        try:
            return self._kept(requested, (requested,))
        except UnknownName:
            return None

    def plan_for(self, requested: str, names: tuple[str, ...]) -> Plan:
        """Who is asked for these names, and then for the fallbacks of the first of them, without repeats.

        `requested` is what the client calls it. Raises UnknownName for the first name that nobody stands for.
        """
        return self._kept(requested, names)

    def _plan(self, requested: str, names: tuple[str, ...]) -> Plan:
        pools: list[Pool] = []
        seen: set[str] = set()
        first: Route | None = None
        for name in names:
            route = self._find(name)
            deployed = () if route is None else tuple(_deployed(route, name, requested))
            if route is None or not deployed:
                raise UnknownName(name)
            first = first or route
            pools.append(_pool(name, route, deployed, seen))
        assert first is not None
        for name in first.fallbacks:
            route = self._find(name)
            if route is not None:
                pools.append(_pool(name, route, _deployed(route, name, requested), seen))
        kept = tuple(pool for pool in pools if pool.candidates)
        candidates = tuple(candidate for pool in kept for candidate in pool.candidates)
        in_order = all(pool.route.strategy == "ordered" for pool in kept)
        return Plan(requested, first, candidates, kept, in_order, in_order and all(map(_is_plain, kept)))

    def _find(self, name: str) -> Route | None:
        entry = find(self._routes, name)
        return None if entry is None else self._routes[entry]


def _pool(name: str, route: Route, candidates: Iterable[Candidate], seen: set[str]) -> Pool:
    """Those of the candidates that were not `seen` before, which they are from then on."""
    new: list[Candidate] = []
    for candidate in candidates:
        if candidate.name not in seen:
            seen.add(candidate.name)
            new.append(candidate)
    return Pool(name, route, tuple(new))


def _is_plain(pool: Pool) -> bool:
    kept = pool.route.sticky != "none" and len(pool.candidates) > 1
    able = (each.deployment.can is None and each.deployment.context is None for each in pool.candidates)
    return not kept and all(able)


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
        labels = LabelSet(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": deployment.model_provider,
                "gen_ai.request.model": requested,
                "tollway.provider": deployment.provider,
            }
        )
        whole = CallTimeouts()
        whole.CopyFrom(deployment.timeouts)
        whole.ClearField("headers")
        whole.ClearField("first_token")
        yield Candidate(name, deployment, model, deployed, columns, labels, whole)
