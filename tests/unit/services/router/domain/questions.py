"""Routes, candidates and circumstances for tests of what is decided about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from hypothesis import strategies as st

from mesh.clock import VirtualClock
from services.router.domain.circumstances import Circumstances
from services.router.domain.fleet import Fleet
from services.router.domain.needs import FEATURES, Needs
from services.router.domain.principal import LOCAL, Principal
from services.router.domain.routes import Candidate, Deployment, Pool, Route, Routes
from services.router.domain.rules import Action, Condition, Rule
from services.router.domain.selection import Inquiry, Selection
from services.router.domain.strategies import STRATEGIES
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, ImagePart, ToolDefinition
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


def with_tools() -> ChatRequest:
    question = chat()
    question.tools.append(ToolDefinition(name="f"))
    return question


def with_picture() -> ChatRequest:
    question = chat()
    question.messages[0].content.append(ContentPart(image=ImagePart(url="https://x")))
    return question


def offline(fleet: Fleet, *names: str, wait: float = 3.2) -> None:
    for name in names:
        for _ in range(3):
            fleet.outages.unreachable(name, "connection refused", NOW)
        outage = fleet.outages.of(name)
        assert outage is not None
        outage.next_look = NOW + wait


def used_up(fleet: Fleet, *names: str) -> None:
    for name in names:
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "10"}
        fleet.standing(f"{name}/m").quota.note(headers, 0, NOW, NOW)


@st.composite
def configurations(draw: st.DrawFn) -> tuple[list[Route], Fleet, list[Rule]]:
    features = st.none() | st.frozensets(st.sampled_from(FEATURES))
    routes = [
        Route(
            name,
            tuple(
                Deployment(
                    provider,
                    draw(st.sampled_from(["m", "n"])),
                    weight=draw(st.integers(1, 3)),
                    can=draw(features),
                    context=draw(st.none() | st.integers(1, 300)),
                )
                for provider in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
            ),
            tuple(draw(st.lists(st.sampled_from(["gpt", "two"]), max_size=2))),
            strategy=draw(st.sampled_from(list(STRATEGIES))),
            sticky=draw(st.sampled_from(["none", "key", "session"])),
        )
        for name in ("gpt", "two")
    ]
    fleet = Fleet()
    offline(fleet, *draw(st.sets(st.sampled_from("abcd"))))
    used_up(fleet, *draw(st.sets(st.sampled_from("abcd"))))
    patterns = st.lists(st.sampled_from(["a", "b/*", "c/m", "*"]), max_size=2).map(tuple)
    rules = [
        Rule(f"rule {number}", Condition(model=draw(st.sampled_from([(), ("gpt",), ("two",)]))),
             Action(draw(patterns), draw(patterns), draw(st.sampled_from(["", "two"]))))
        for number in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    return routes, fleet, rules


QUESTIONS = st.builds(
    lambda words, tools, picture: (
        with_tools() if tools else with_picture() if picture else chat(words="x" * words)
    ),
    st.integers(0, 3000), st.booleans(), st.booleans(),
)  # fmt: skip
