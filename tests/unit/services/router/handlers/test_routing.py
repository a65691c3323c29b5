"""Where questions go, end to end: by rules, by what was asked for, and by what was seen of deployments."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.outages import IN_A_ROW
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.rules import Action, Condition, Rule
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import Hang, Pause, Script, answer, chat, error, role, streamed, text
from tollway.providers.v1.providers_pb2 import UpstreamCall
from tollway.router.v1.router_pb2 import Preferences

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REFUSED = error(Reason.UPSTREAM_UNREACHABLE, message="connection refused", phase="connect")
SILENT = error(Reason.UPSTREAM_SILENT)
DENY = Rule("night", Condition(), Action(deny="Come back at night."))


async def answered(bench: Bench, stream: bool) -> str:
    """Asks, and says which deployment answered."""
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    return (await waiting)[1].deployment


# -- rules -------------------------------------------------------------------------------------------------------------


@both
async def test_what_a_rule_denies_is_asked_of_nobody_and_told_with_its_reason(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()])
    bench.rules = [DENY]
    told = await bench.failure(bench.ask(stream))
    assert (told.reason, told.message, told.row.http_status) == (Reason.DENIED_BY_RULE, "Come back at night.", 403)
    assert told.metadata == {"request_id": "req-1", "attempts": "0", "trace_id": "a" * 32, "rule": "night"}
    assert bench.providers.calls == []
    assert bench.journal.rows == []


@both
async def test_the_operations_span_says_which_rules_matched_and_which_failed(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()])
    bench.rules = [
        Rule("other", Condition(model=("claude",)), DENY.then),
        Rule("calm", Condition(), Action(parameters={"temperature": 0.0})),
        Rule("eu", Condition(), Action(choose=("eu",))),
    ]
    await bench.failure(bench.ask(stream))
    (span,) = bench.tracer.named("chat gpt")
    assert (span.error, span.ended) == (Reason.DENIED_BY_RULE, 1)
    assert span.attributes["tollway.rules.matched"] == ("calm", "eu")
    assert span.attributes["tollway.rules.failed"] == ("eu",)
    bench.rules = bench.rules[:2]
    await answered(bench, stream)
    assert bench.tracer.named("chat gpt")[1].attributes["tollway.rules.matched"] == ("calm",)
    assert "tollway.rules.failed" not in bench.tracer.named("chat gpt")[1].attributes


@both
async def test_a_provider_is_asked_as_the_rules_want_it_and_the_clients_message_stays_as_it_was(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[streamed()])
    bench.rules = [Rule("calm", Condition(), Action(parameters={"temperature": 0.0}))]
    question = chat()
    question.sampling.temperature = 1.0
    waiting = bench.stream(request=question).task if stream else bench.create(request=question)
    await bench.seconds(waiting)
    (call,) = bench.providers.calls
    assert (call.request.chat.sampling.temperature, question.sampling.temperature) == (0.0, 1.0)


# -- names that the request brings along -------------------------------------------------------------------------------


async def test_the_requests_own_models_are_asked_before_the_fallbacks(bench: Bench) -> None:
    routes = [
        Route("gpt", (Deployment("a", "m"),), ("last",)), Route("mine", (Deployment("b", "m"),)),
        Route("last", (Deployment("c", "m"),)),
    ]  # fmt: skip
    bench.routes = Routes(routes)
    bench.providers.scripts = {"a/m": [SILENT], "b/m": [SILENT], "c/m": [answer()]}
    waiting = bench.create(preferences=Preferences(models=["mine"]))
    await bench.seconds(waiting)
    assert bench.providers.asked() == ["a/m", "b/m", "c/m"]
    assert {row.model_requested for row in bench.journal.rows} == {"gpt"}


async def test_an_unknown_model_among_them_is_named_before_anybody_is_asked(bench: Bench) -> None:
    bench.deploy(a=[answer()])
    told = await bench.failure(bench.create(preferences=Preferences(models=["nope"])))
    assert (told.reason, told.metadata["attempts"]) == (Reason.MODEL_NOT_FOUND, "0")
    assert "'nope'" in told.message
    assert bench.providers.calls == []


# -- what providers say of their quota ---------------------------------------------------------------------------------


@both
async def test_a_deployment_whose_quota_is_used_up_is_left_for_others_before_it_says_no(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[streamed()], b=[streamed()])
    limits = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"}
    bench.providers.upstream = UpstreamCall(status=200, rate_limits=limits)
    assert [await answered(bench, stream) for _ in range(2)] == ["a/m", "b/m"]
    await bench.clock.advance(21)
    assert await answered(bench, stream) == "a/m"


@both
async def test_the_only_deployment_is_asked_whatever_its_quota(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()])
    bench.providers.upstream = UpstreamCall(status=200, rate_limits={"x-ratelimit-remaining": "0"})
    assert [await answered(bench, stream) for _ in range(2)] == ["a/m", "a/m"]


@both
async def test_a_deployment_that_said_when_to_come_back_is_asked_last_until_then(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_RATE_LIMITED, 20.0, upstream_status="429"), streamed()], b=[streamed()])
    assert [await answered(bench, stream) for _ in range(2)] == ["b/m", "b/m"]
    assert bench.providers.asked() == ["a/m", "b/m", "b/m"]
    await bench.clock.advance(21)
    assert await answered(bench, stream) == "a/m"


# -- who is there ------------------------------------------------------------------------------------------------------


async def find_out(bench: Bench, stream: bool) -> None:
    """Asks until the first provider is known to be offline."""
    while bench.fleet.outages.of("a") is None:
        await answered(bench, stream)


@both
async def test_whoever_was_not_there_several_times_in_a_row_is_not_asked_any_more(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[REFUSED], b=[streamed()])
    await find_out(bench, stream)
    assert bench.providers.asked().count("a/m") == IN_A_ROW + IN_A_ROW % 2  # twice a question
    asked = len(bench.providers.calls)
    assert await answered(bench, stream) == "b/m"
    assert bench.providers.asked()[asked:] == ["b/m"]


@both
async def test_when_nobody_is_left_the_answer_is_503_with_each_ones_reason_and_when_to_come_back(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[REFUSED], b=[REFUSED])
    while not (bench.fleet.outages.of("a") and bench.fleet.outages.of("b")):
        await bench.failure(bench.ask(stream))
    calls = len(bench.providers.calls)
    told = await bench.failure(bench.ask(stream))
    assert (told.reason, told.row.http_status, told.retry_after) == (Reason.NO_DEPLOYMENT_READY, 503, 1.0)
    assert told.metadata["candidate_1"] == "a/m: its provider is offline"
    assert told.metadata["candidate_2"] == "b/m: its provider is offline"
    assert told.metadata["candidate_2"] in told.message
    assert len(bench.providers.calls) == calls


@both
async def test_a_connection_that_stood_and_broke_is_no_outage(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_UNREACHABLE, phase="headers")], b=[streamed()])
    for _ in range(4):
        assert await answered(bench, stream) == "b/m"
    assert not bench.fleet.outages


@both
async def test_an_answer_even_a_refusal_says_that_somebody_is_there(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[REFUSED, REFUSED, error(Reason.UPSTREAM_FAILED, upstream_status="503")] * 3, b=[streamed()])
    for _ in range(4):
        await answered(bench, stream)
    assert not bench.fleet.outages


# -- how fast they are -------------------------------------------------------------------------------------------------


async def test_streams_are_measured_to_their_first_content_and_whole_answers_to_their_end(bench: Bench) -> None:
    slow: list[Script] = [[role(), Pause(0.5), *streamed(), Pause(3.0)]]
    bench.deploy(a=slow)
    await answered(bench, True)
    await answered(bench, False)
    pace = bench.fleet.standing("a/m").pace
    assert pace.first_content.recent == pytest.approx(0.5)
    assert pace.whole_answer.recent == pytest.approx(3.5)


@both
async def test_failures_of_the_deployment_count_and_those_of_the_question_do_not(bench: Bench, stream: bool) -> None:
    for failure, counts in (
        (SILENT, True),
        (error(Reason.UPSTREAM_FAILED, upstream_status="500"), True),
        (error(Reason.UPSTREAM_REJECTED, upstream_status="400"), False),
        (error(Reason.CONTEXT_LENGTH_EXCEEDED, upstream_status="400"), False),
    ):
        fresh = Bench()
        fresh.deploy(a=[failure])
        await fresh.failure(fresh.ask(stream))
        assert (fresh.fleet.standing("a/m").pace.failing(fresh.clock.monotonic()) > 0) is counts


async def test_an_answer_that_breaks_off_counts_as_a_failure(bench: Bench) -> None:
    bench.deploy(a=[[role(), text("Hel"), error(Reason.UPSTREAM_CUT)]])
    await bench.failure(bench.ask(True))
    assert bench.fleet.standing("a/m").pace.failing(bench.clock.monotonic()) > 0


@both
async def test_a_client_that_leaves_blames_nobody(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[Hang()])
    waiting = bench.ask(stream)
    await bench.clock.advance(2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    standing = bench.fleet.standing("a/m")
    assert (standing.in_flight, standing.pace.failing(bench.clock.monotonic())) == (0, 0.0)
    assert standing.pace.expected(bench.clock.monotonic(), streamed=stream) is None


@both
async def test_a_clients_own_deadline_blames_nobody(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[Hang()])
    waiting = bench.ask(stream, timeout=1.0)
    told = await bench.failure(waiting)
    assert isinstance(told, TollwayError)
    assert bench.fleet.standing("a/m").pace.failing(bench.clock.monotonic()) == 0.0
