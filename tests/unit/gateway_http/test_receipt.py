from __future__ import annotations

import json

from google.protobuf.duration_pb2 import Duration

from gateway_http.receipt import receipt_headers, receipt_json
from tollway.router.v1.router_pb2 import (
    CONTINUATION_PREFILL,
    CONTINUATION_SPLICE,
    CacheOutcome,
    RateLimit,
    RateLimits,
    Receipt,
)


def test_a_cost_is_exact_to_the_nano_dollar() -> None:
    receipt = Receipt(deployment="sim/echo", attempts=2, cost_nanos=123_456_789_012_345_678)

    assert receipt_headers(receipt) == {
        "x-tollway-deployment": "sim/echo",
        "x-tollway-attempts": "2",
        "x-tollway-cost-usd": "123456789.012345678",
    }
    assert b'"cost_usd":123456789.012345678,' in receipt_json(receipt, "t")


def test_nothing_is_a_cost_like_any_other() -> None:
    receipt = Receipt(cost_nanos=0)

    assert receipt_headers(receipt)["x-tollway-cost-usd"] == "0.00"
    assert json.loads(receipt_json(receipt, "t"))["cost_usd"] == 0


def test_a_cost_that_is_not_known_is_null() -> None:
    assert json.loads(receipt_json(Receipt(deployment='a"b', attempts=1), "t")) == {
        "cost_usd": None,
        "attempts": 1,
        "deployment": 'a"b',
        "trace_id": "t",
    }


def test_an_answer_that_was_gone_on_with_says_how_at_its_end() -> None:
    receipt = Receipt(continuations=[CONTINUATION_SPLICE, CONTINUATION_PREFILL])

    assert json.loads(receipt_json(receipt, "t"))["continued"] == ["splice", "prefill"]


def test_an_answer_of_a_second_attempt_says_so_at_once() -> None:
    receipt = Receipt(hedged=True)

    assert receipt_headers(receipt)["x-tollway-hedged"] == "1"
    assert json.loads(receipt_json(receipt, "t"))["hedged"] is True
    assert "x-tollway-hedged" not in receipt_headers(Receipt())


def test_an_answer_out_of_the_cache_says_so_and_how_old_it_is() -> None:
    receipt = Receipt(deployment="a/m", cost_nanos=0, cache=CacheOutcome.CACHE_OUTCOME_HIT)
    receipt.age.FromNanoseconds(12_900_000_000)
    headers = receipt_headers(receipt)
    assert (headers["x-tollway-cache"], headers["age"], headers["x-tollway-cost-usd"]) == ("hit", "12", "0.00")
    assert headers["x-tollway-attempts"] == "0"
    told = json.loads(receipt_json(receipt, "t"))
    assert (told["cache"], told["age"], told["cost_usd"], told["attempts"]) == ("hit", 12, 0, 0)


def test_an_answer_that_the_cache_did_not_have_says_that() -> None:
    for outcome, word in (
        (CacheOutcome.CACHE_OUTCOME_MISS, "miss"),
        (CacheOutcome.CACHE_OUTCOME_REFRESHED, "refreshed"),
    ):
        headers = receipt_headers(Receipt(cache=outcome))
        assert headers["x-tollway-cache"] == word
        assert "age" not in headers


def test_an_answer_that_is_given_again_says_so() -> None:
    receipt = Receipt(deployment="a/m", replayed=True)
    assert receipt_headers(receipt)["x-tollway-replayed"] == "1"
    assert json.loads(receipt_json(receipt, "t"))["replayed"] is True
    assert "x-tollway-replayed" not in receipt_headers(Receipt())


def test_what_is_left_of_limits_is_said_as_openai_says_it() -> None:
    limits = RateLimits(
        requests=RateLimit(scope="key:ci", limit=600, remaining=599, reset=Duration(nanos=100_000_000)),
        tokens=RateLimit(scope="key:ci", limit=200_000, remaining=0, reset=Duration(seconds=360)),
    )
    headers = receipt_headers(Receipt(deployment="sim/echo", attempts=1, rate_limits=limits))
    assert {name: value for name, value in headers.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def test_a_limit_that_there_is_not_is_not_mentioned() -> None:
    limits = RateLimits(requests=RateLimit(scope="key:ci", limit=600, remaining=599))
    headers = receipt_headers(Receipt(rate_limits=limits))
    assert not any("tokens" in name for name in headers)
    assert not any("ratelimit" in name for name in receipt_headers(Receipt(rate_limits=RateLimits())))
