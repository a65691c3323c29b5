"""Header values as providers' documentation and users' reports show them."""

from __future__ import annotations

import pytest

from services.router.domain.needs import Needs
from services.router.domain.quota import Allowance, Quota, parse
from tests.unit.services.router.twins import chat

UNIX = 1_767_225_600.0 - 34
"""34 seconds before 2026-01-01T00:00:00Z."""

OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-input-tokens-limit": "80000",
    "anthropic-ratelimit-input-tokens-remaining": "79000",
    "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:00Z",
    "anthropic-ratelimit-output-tokens-limit": "16000",
    "anthropic-ratelimit-output-tokens-remaining": "15000",
    "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:01Z",
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2025-12-31T23:59:26+00:00",
    "anthropic-ratelimit-tokens-limit": "96000",
    "anthropic-ratelimit-tokens-remaining": "94000",
    "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:01Z",
    "anthropic-ratelimit-unified-status": "allowed",
    "anthropic-ratelimit-unified-5h-reset": "1767225600",
    "anthropic-ratelimit-unified-5h-utilization": "0.3",
    "retry-after": "7",
}
MISTRAL = {
    "x-ratelimit-limit-tokens-minute": "5000000",
    "x-ratelimit-remaining-tokens-minute": "4999911",
    "x-ratelimit-tokens-query-cost": "52",
    "x-ratelimit-limit-req-minute": "720",
    "x-ratelimit-remaining-req-minute": "717",
}
CEREBRAS = {
    "x-ratelimit-limit-requests-day": "1000000000",
    "x-ratelimit-remaining-requests-day": "999999999",
    "x-ratelimit-reset-requests-day": "33011.382867",
    "x-ratelimit-limit-tokens-minute": "1000000000",
    "x-ratelimit-remaining-tokens-minute": "999998765",
    "x-ratelimit-reset-tokens-minute": "11.382867",
}
FIREWORKS = {
    "x-ratelimit-limit-tokens-prompt": "60000",
    "x-ratelimit-remaining-tokens-prompt": "59000",
    "x-ratelimit-limit-tokens-generated": "6000",
    "x-ratelimit-remaining-tokens-generated": "5900",
    "x-ratelimit-over-limit": "no",
}
TOGETHER = {
    "x-ratelimit-limit": "10",
    "x-ratelimit-remaining": "9",
    "x-ratelimit-reset": "1",
    "x-tokenlimit-limit": "1000",
    "x-tokenlimit-remaining": "900",
}
OPENROUTER = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225600000"}


@pytest.mark.parametrize(
    ("headers", "allowances"),
    [
        (OPENAI, {("requests", 59, 60, 1, True), ("tokens", 149984, 150000, 360, True)}),
        (ANTHROPIC, {("input", 79000, 80000, 34, True), ("output", 15000, 16000, 35, True),
                     ("requests", 999, 1000, 0, True), ("tokens", 94000, 96000, 35, True)}),
        (MISTRAL, {("tokens", 4999911, 5000000, 60, False), ("requests", 717, 720, 60, False)}),
        (CEREBRAS, {("requests", 999999999, 1000000000, 33011.382867, False),
                    ("tokens", 999998765, 1000000000, 11.382867, False)}),
        (FIREWORKS, {("input", 59000, 60000, 60, True), ("output", 5900, 6000, 60, True)}),
        (TOGETHER, {("requests", 9, 10, 1, False), ("tokens", 900, 1000, 60, False)}),
        (OPENROUTER, {("requests", 0, 20, 34, False)}),
        ({"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "2m59.56s"},
         {("requests", 10, None, 179.56, True)}),
        ({"x-ratelimit-remaining-tokens": "10", "x-ratelimit-reset-tokens": "12ms"},
         {("tokens", 10, None, 0.012, True)}),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
         {("requests", 50, 100, 30, False)}),
        ({"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
         {("requests", 50, None, 30, False)}),
        ({"ratelimit": '"burst";r=5;t=1, "tokens-daily";r=10000'},
         {("requests", 5, None, 1, False), ("tokens", 10000, None, 60, False)}),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, {("requests", 50, 100, 5, False)}),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1767225600"}, {("requests", 1, None, 34, False)}),
    ],
)  # fmt: skip
def test_every_known_family_of_headers_is_read(headers: dict[str, str], allowances: set[tuple[object, ...]]) -> None:
    read = list(parse(headers, UNIX))
    assert {(it.unit, it.remaining, it.limit, round(it.reset, 9), it.refills) for it in read} == allowances


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "3"},
        {"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"},
        {"x-ratelimit-remaining-requests": "many"},
        {"x-ratelimit-remaining-requests": "nan"},
        {"x-ratelimit-limit-requests": "60"},
        {"x-ratelimit-remaining-images": "0"},
        {"ratelimit": "whatever"},
        {"ratelimit": '"default";t=30'},
        {"ratelimit-policy": '"default";q=0;w=60'},
    ],
)
def test_what_says_nothing_or_nonsense_says_nothing(headers: dict[str, str]) -> None:
    assert list(parse(headers, UNIX)) == []


@pytest.mark.parametrize("reset", ["soon", "", "2026-01-01T00:00:00"])
def test_a_reset_that_cannot_be_read_is_taken_for_a_minute(reset: str) -> None:
    (allowance,) = parse({"x-ratelimit-remaining": "3", "x-ratelimit-reset": reset}, UNIX)
    assert allowance.reset == 60.0


def test_a_bucket_fills_and_a_window_comes_back_whole() -> None:
    bucket, window = Allowance("requests", 0, 60, 60, True), Allowance("requests", 0, 60, 60, False)
    assert [bucket.left(seconds) for seconds in (0, 30, 59, 60)] == [0, 30, 59, 60]
    assert [window.left(seconds) for seconds in (0, 59, 60)] == [0, 0, 60]
    assert (bucket.until(1, 0.0), window.until(1, 10.0)) == (1.0, 50.0)
    assert Allowance("requests", 0, None, 60, True).left(61) is None


def noted(headers: dict[str, str], call: int = 1) -> Quota:
    quota = Quota()
    quota.note(headers, call, 100.0, UNIX)
    return quota


def short(quota: Quota, begun: int = 1, now: float = 100.0, words: str = "") -> bool:
    return quota.shortage(Needs(chat(words=words)), begun, now) is not None


def test_a_quota_that_nothing_is_known_of_lets_everything_through() -> None:
    assert not Quota().known
    assert not short(Quota())


def test_requests_that_left_since_the_answer_was_asked_for_count_too() -> None:
    quota = noted({"x-ratelimit-remaining": "2", "x-ratelimit-reset": "10"})
    assert [short(quota, begun) for begun in (1, 2, 3)] == [False, False, True]


def test_the_quota_is_believed_until_it_resets() -> None:
    quota = noted({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "10"})
    shortage = quota.shortage(None, 1, 104.0)
    assert shortage is not None
    assert (shortage.why, shortage.wait) == ("its provider's limit on requests is used up", 6.0)
    assert not short(quota, now=110.0)


def test_a_question_that_needs_more_tokens_than_are_left_is_too_much() -> None:
    quota = noted(
        {"x-ratelimit-remaining-tokens": "100", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-reset-tokens": "9s"}
    )
    assert not short(quota, words="x" * 400)
    assert short(quota, words="x" * 404)
    assert not short(quota, now=101.0, words="x" * 404)
    asked = chat(words="x" * 40)
    asked.sampling.max_tokens = 100
    assert quota.shortage(Needs(asked), 1, 100.0) is not None


def test_input_and_output_are_counted_apart_where_the_provider_does() -> None:
    quota = noted(
        {"anthropic-ratelimit-output-tokens-remaining": "50", "anthropic-ratelimit-input-tokens-remaining": "50"}
    )
    asked = chat(words="x" * 200)
    asked.sampling.max_tokens = 50
    assert quota.shortage(Needs(asked), 1, 100.0) is None
    asked.sampling.max_tokens = 51
    assert quota.shortage(Needs(asked), 1, 100.0) is not None


def test_an_older_calls_answer_does_not_overrule_a_newer_ones() -> None:
    quota = noted({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "10"}, call=5)
    quota.note({"x-ratelimit-remaining": "9"}, 4, 101.0, UNIX)
    assert short(quota, begun=5)
    quota.note({"x-ratelimit-remaining": "9"}, 6, 101.0, UNIX)
    assert not short(quota, begun=6)


def test_a_provider_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    quota = Quota()
    quota.hold(130.0)
    quota.hold(120.0)
    shortage = quota.shortage(None, 1, 125.0)
    assert shortage is not None
    assert (shortage.why, shortage.wait) == ("its provider asked to wait", 5.0)
    assert not short(quota, now=130.0)
