from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason
from mesh.state.store import Decision, Draw, Left, Rate, Slot
from services.router.domain.expectation import Expected
from services.router.domain.limits import LEASE, Held, Limit, Limits, refusal, settlement, tell_what_is_left
from services.router.domain.principal import Principal
from tollway.router.v1.router_pb2 import RateLimits

CI = Principal("acme", "demo", "ci", tags=("nightly",))
MINUTE = Rate(600, 60.0)


def held(limits: Limits, principal: Principal = CI, tags: tuple[str, ...] = (), model: str = "gpt") -> Held:
    found = limits.held(principal, tags, model)
    assert found is not None
    return found


def test_each_kind_of_scope_holds_what_it_names() -> None:
    limits = Limits(
        [Limit(scope, MINUTE) for scope in ("tenant:acme", "project:demo", "key:ci", "tag:nightly", "model:gpt")]
    )
    assert [draw.key for draw in held(limits).requests] == [
        "limit:requests:tenant:acme",
        "limit:requests:project:demo",
        "limit:requests:key:ci",
        "limit:requests:model:gpt",
        "limit:requests:tag:nightly",
    ]
    assert limits.held(Principal("other", "other", "other"), ("x",), "other") is None


def test_a_question_that_may_go_to_several_models_has_asked_for_each() -> None:
    limits = Limits([Limit("model:gpt", MINUTE), Limit("model:*", Rate(5, 1.0))])
    found = limits.held(CI, (), "gpt", ["claude", "gpt", "glm"])
    assert found is not None
    assert [draw.key.removeprefix("limit:requests:model:") for draw in found.requests] == ["gpt", "claude", "glm"]


def test_an_asterisk_stands_for_every_name_on_its_own() -> None:
    limits = Limits([Limit("key:*", MINUTE)])
    assert held(limits).requests == (Draw("limit:requests:key:ci", MINUTE),)
    assert held(limits, Principal("t", "p", "web")).requests == (Draw("limit:requests:key:web", MINUTE),)


def test_a_name_stands_in_place_of_the_asterisk() -> None:
    limits = Limits([Limit("key:*", MINUTE, tokens=Rate(1000, 1.0)), Limit("key:ci", Rate(5, 1.0))])
    assert held(limits).requests == (Draw("limit:requests:key:ci", Rate(5, 1.0)),)
    assert held(limits).tokens == ()


def test_tags_are_the_requests_and_the_keys_each_once() -> None:
    limits = Limits([Limit("tag:*", MINUTE)])
    draws = held(limits, tags=("team:search", "nightly")).requests
    assert [draw.key for draw in draws] == ["limit:requests:tag:nightly", "limit:requests:tag:team:search"]


def test_requests_tokens_and_places_are_apart() -> None:
    found = held(Limits([Limit("key:*", MINUTE, Rate(1000, 1.0), 3)]))
    assert found.slots == (Slot("limit:concurrency:key:ci", 3, LEASE),)
    assert found.requests == (Draw("limit:requests:key:ci", MINUTE, 1),)
    assert found.draw_tokens(Expected(70, 70)) == [Draw("limit:tokens:key:ci", Rate(1000, 1.0), 70)]


@pytest.mark.parametrize(
    ("least", "likely", "drawn"), [(10, 266, 266), (10, 5000, 1000), (1200, 5000, 1200), (5000, 5000, 5000)]
)
def test_a_guess_alone_never_asks_for_more_than_there_can_be(least: int, likely: int, drawn: int) -> None:
    (draw,) = held(Limits([Limit("key:*", tokens=Rate(1000, 1.0))])).draw_tokens(Expected(least, likely))
    assert draw.amount == drawn


def test_a_settlement_is_the_difference() -> None:
    drawn = [Draw("a", MINUTE, 100), Draw("b", MINUTE, 30)]
    assert settlement(drawn, 30) == [Draw("a", MINUTE, -70)]
    assert settlement(drawn, 130) == [Draw("a", MINUTE, 30), Draw("b", MINUTE, 100)]


names = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(st.tuples(st.sampled_from(["tenant", "project", "key", "model"]), st.one_of(names, st.just("*")))),
    names,
    names,
)
def test_a_question_is_held_by_each_kind_at_most_once(scopes: list[tuple[str, str]], name: str, model: str) -> None:
    found = Limits([Limit(f"{kind}:{of}", MINUTE) for kind, of in scopes]).held(Principal(name, name, name), (), model)
    kinds = [] if found is None else [draw.key.split(":")[2] for draw in found.requests]
    wanted = {kind for kind, of in scopes if of in ("*", model if kind == "model" else name)}
    assert len(kinds) == len(wanted)
    assert set(kinds) == wanted


# -- what is said ------------------------------------------------------------------------------------------------------

TWO = Held(
    (Draw("limit:requests:key:ci", MINUTE), Draw("limit:requests:project:demo", Rate(5000, 86_400.0))),
    (Draw("limit:tokens:key:ci", Rate(1000, 1.0)),),
    (Slot("limit:concurrency:key:ci", 3, LEASE),),
)
LEFT = (Left(10, 59.0), Left(4, 80_000.0), Left(300, 0.7))


def tokens(amount: int) -> list[Draw]:
    return [Draw(draw.key, draw.rate, amount) for draw in TWO.tokens]


def test_of_several_limits_the_one_with_the_least_left_is_told() -> None:
    left = RateLimits()
    tell_what_is_left(left, TWO, LEFT)
    assert (left.requests.scope, left.requests.limit, left.requests.remaining) == ("project:demo", 5000, 4)
    assert left.requests.reset.ToSeconds() == 80_000
    assert (left.tokens.scope, left.tokens.remaining, left.tokens.reset.ToMilliseconds()) == ("key:ci", 300, 700)


def test_too_many_requests() -> None:
    error = refusal(TWO, Decision(LEFT, "limit:requests:key:ci", 3.21), [], {"request_id": "r"})
    assert error.reason is Reason.RATE_LIMITED
    assert error.message == "key:ci may make 600 requests a minute, and has made them: try again in 3.21 s."
    assert error.retry_after == 3.21
    assert error.metadata == {
        "request_id": "r", "scope": "key:ci",
        "limit_requests": "5000", "remaining_requests": "4", "reset_requests": "80000000ms",
        "limit_tokens": "1000", "remaining_tokens": "300", "reset_tokens": "700ms",
    }  # fmt: skip


def test_too_many_tokens_for_now() -> None:
    error = refusal(TWO, Decision(LEFT, "limit:tokens:key:ci", 120.0), tokens(700), {})
    assert error.message == (
        "key:ci may use 1000 tokens a second; 300 are left, and this request may take 700: "
        "try again in 2 min, or let the answer be shorter (max_tokens)."
    )
    assert "repeat" not in error.metadata


def test_too_many_tokens_for_ever() -> None:
    error = refusal(TWO, Decision(LEFT, "limit:tokens:key:ci", None), tokens(1700), {})
    assert error.message == (
        "key:ci may use 1000 tokens a second, and this request may take 1700, which can never pass: "
        "shorten it, or let the answer be shorter (max_tokens)."
    )
    assert error.metadata["repeat"] == "never"
    assert error.retry_after is None


def test_too_many_at_once() -> None:
    error = refusal(TWO, Decision(LEFT, "limit:concurrency:key:ci", None), [], {})
    assert error.message == "key:ci may have 3 requests under way, and has: try again when one has ended."
    assert error.retry_after == 1.0
    assert "repeat" not in error.metadata
