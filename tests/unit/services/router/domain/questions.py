"""Routes, candidates and circumstances for tests of what is decided about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from mesh.clock import VirtualClock
from services.router.domain.circumstances import Circumstances
from services.router.domain.fleet import Fleet
from services.router.domain.needs import Needs
from services.router.domain.principal import LOCAL, Principal
from services.router.domain.routes import Candidate, Deployment, Pool, Route, Routes
from services.router.domain.rules import Rule
from services.router.domain.selection import Inquiry, Selection
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.ledger.v1.ledger_pb2 import Price
from tollway.router.v1.router_pb2 import Preferences

NOW = VirtualClock().time()


def deployments(*names: str, weights: Sequence[int] = ()) -> tuple[Deployment, ...]:
    """`a`, `b`, … each with a model called m."""
    return tuple(
        Deployment(name, "m", weight=weight) for name, weight in zip(names, weights or [1] * len(names), strict=True)
    )


def pool(*members: Deployment, **route: object) -> Pool:
    """The pool of `gpt`."""
    found = Routes([Route("gpt", members, **route)]).plan("gpt")  # type: ignore[arg-type]
    assert found is not None
    return found.pools[0]


def busy(fleet: Fleet, **in_flight: int) -> None:
    """So many calls under way on each provider's `m`."""
    for provider, calls in in_flight.items():
        fleet.standing(f"{provider}/m").in_flight = calls


def around(
    fleet: Fleet | None = None,
    *,
    seed: int = 1,
    asked: ChatRequest | None = None,
    streamed: bool = True,
    now: float = NOW,
    prices: Mapping[str, Price] | None = None,
) -> Circumstances:
    """Circumstances in which nothing is known but what is said; prices are by provider."""
    question = asked or chat()
    return Circumstances(
        question,
        Needs(question),
        streamed,
        fleet or Fleet(),
        now,
        now,
        Random(seed),
        lambda provider, model, at: (prices or {}).get(provider),
    )


def providers(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.deployment.provider for candidate in candidates]


def inquiry(
    asked: ChatRequest | None = None,
    *,
    tags: Sequence[str] = (),
    principal: Principal = LOCAL,
    models: Sequence[str] = (),
    session: str = "",
    streamed: bool = True,
    now: float = NOW,
) -> Inquiry:
    preferences = Preferences(models=models, session=session)
    return Inquiry(asked or chat(), tags, preferences, principal, streamed, now, now)


def selection(*routes: Route, rules: Sequence[Rule] = (), fleet: Fleet | None = None, seed: int = 1) -> Selection:
    return Selection(Routes(routes), rules, fleet or Fleet(), Random(seed), lambda *_: None)
