"""After the first content: the answer is gone on with, or ends with one error; it is never cut off unseen."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mesh.errors import Reason
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import (
    STOP,
    USAGE,
    Hang,
    Item,
    Pause,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta, Role, SamplingOptions, ToolDefinition, Usage
from tollway.ledger.v1.ledger_pb2 import AttemptKind, AttemptStatus
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL as PREFILL
from tollway.router.v1.router_pb2 import CONTINUATION_SPLICE as SPLICE
from tollway.router.v1.router_pb2 import Preferences

CUT = error(Reason.UPSTREAM_CUT, upstream_status="200")
SILENT = error(Reason.UPSTREAM_SILENT, upstream_status="200")
BROKEN = [
    CUT,
    error(Reason.UPSTREAM_MALFORMED, upstream_status="200"),
    error(Reason.UPSTREAM_UNREACHABLE),
    error(Reason.UPSTREAM_FAILED, upstream_status="500"),
    error(Reason.UPSTREAM_RATE_LIMITED, upstream_status="429"),
]
OK, INTERRUPTED, FAILED, CANCELLED = (
    AttemptStatus.ATTEMPT_STATUS_OK,
    AttemptStatus.ATTEMPT_STATUS_INTERRUPTED,
    AttemptStatus.ATTEMPT_STATUS_FAILED,
    AttemptStatus.ATTEMPT_STATUS_CANCELLED,
)
CONTINUATION = AttemptKind.ATTEMPT_KIND_CONTINUATION


def able(provider: str) -> Deployment:
    return Deployment(provider, "m", can=frozenset({"prefill"}))


def said_before(bench: Bench, call: int) -> str:
    """What a call was given as the beginning of the answer; empty where it was not."""
    last = bench.providers.calls[call].request.chat.messages[-1]
    return last.content[0].text if last.role == Role.ROLE_ASSISTANT else ""


# -- prefill -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", BROKEN, ids=lambda failure: failure.reason)
async def test_the_same_deployment_goes_on_and_nobody_notices(bench: Bench, failure: Item) -> None:
    bench.deploy(able("a"), a=[[role(), text("Hel"), failure], [role(), text("lo"), finish(), usage()]])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert reader.finishes == [STOP]
    assert [delta.role for delta in reader.deltas if delta.role] == [Role.ROLE_ASSISTANT]
    assert said_before(bench, 1) == "Hel"
    assert bench.providers.asked() == ["a/m", "a/m"]


async def test_one_that_fell_silent_is_not_asked_to_go_on(bench: Bench) -> None:
    bench.deploy(able("a"), able("b"), a=[[text("Hel"), SILENT]], b=[[text("lo"), finish()]])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert bench.providers.asked() == ["a/m", "b/m"]


async def test_each_deployment_is_asked_to_go_on_once(bench: Bench) -> None:
    bench.deploy(able("a"), able("b"), continuations=9, a=[[text("a"), CUT]], b=[[text("b"), CUT]])
    reader = bench.stream()
    told = await bench.failure(reader.task)
    assert (told.reason, told.metadata["deployment"]) == (Reason.UPSTREAM_CUT, "b/m")
    assert bench.providers.asked() == ["a/m", "a/m", "b/m"]
    assert reader.text == "aab"
    assert reader.finishes == []


async def test_no_more_calls_go_on_with_an_answer_than_configured(bench: Bench) -> None:
    bench.deploy(*map(able, "abcd"), a=[[text("a"), SILENT]], b=[[text("b"), SILENT]], c=[[text("c"), SILENT]])
    reader = bench.stream()
    assert (await bench.failure(reader.task)).reason is Reason.UPSTREAM_SILENT
    assert bench.providers.asked() == ["a/m", "b/m", "c/m"]
    assert [said_before(bench, call) for call in range(3)] == ["", "a", "ab"]


async def test_where_none_may_the_first_failure_is_told(bench: Bench) -> None:
    bench.deploy(able("a"), able("b"), continuations=0, a=[[text("a"), CUT]], b=[streamed()])
    told = await bench.failure(bench.stream().task)
    assert (told.reason, told.metadata["attempts"]) == (Reason.UPSTREAM_CUT, "1")


async def test_whoever_cannot_go_on_after_all_is_followed_by_the_next(bench: Bench) -> None:
    refusing = error(Reason.UPSTREAM_REJECTED, upstream_status="400")
    bench.deploy(able("a"), able("b"), a=[[text("Hel"), CUT], refusing], b=[[text("lo"), finish()]])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert [row.status for row in bench.journal.rows] == [INTERRUPTED, FAILED, OK]


async def test_what_was_said_counts_against_what_may_be_said(bench: Bench) -> None:
    request = chat()
    request.sampling.CopyFrom(SamplingOptions(max_tokens=10))
    bench.deploy(able("a"), a=[[text("eight ch"), CUT], [text("!"), finish()]])
    await bench.stream(request=request).task
    assert [call.request.chat.sampling.max_tokens for call in bench.providers.calls] == [10, 8]


async def test_a_broken_answer_that_lacks_nothing_but_its_end_gets_that(bench: Bench) -> None:
    bench.deploy(able("a"), a=[[text("Hello"), CUT], [role(), finish(), usage()]])
    reader = bench.stream()
    await reader.task
    assert (reader.text, reader.finishes) == ("Hello", [STOP])


async def test_a_content_filter_that_strikes_midway_is_told(bench: Bench) -> None:
    filtered = error(Reason.CONTENT_FILTERED, upstream_status="200")
    bench.deploy(able("a"), able("b"), a=[[text("a"), filtered]], b=[streamed()])
    assert (await bench.failure(bench.stream().task)).reason is Reason.CONTENT_FILTERED
    assert bench.providers.asked() == ["a/m"]


# -- splice ------------------------------------------------------------------------------------------------------------


async def test_whoever_cannot_go_on_says_it_all_again_and_the_client_sees_it_once(bench: Bench) -> None:
    bench.deploy(a=[[role(), text("Hel"), CUT]], b=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert reader.finishes == [STOP]
    assert said_before(bench, 1) == ""
    assert bench.providers.asked() == ["a/m", "b/m"]


@pytest.mark.parametrize("failure", [*BROKEN, SILENT], ids=lambda failure: failure.reason)
async def test_a_fallback_is_asked_midway_too(bench: Bench, failure: Item) -> None:
    bench.deploy(Deployment("a", "m"), fallback=Deployment("b", "m"), a=[[text("Hel"), failure]], b=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    assert (reader.text, reader.finishes) == ("Hello", [STOP])
    assert bench.providers.asked() == ["a/m", "b/m"]


async def test_the_rest_flows_as_it_comes(bench: Bench) -> None:
    bench.deploy(a=[[text("Hel"), CUT]], b=[[text("Hell"), Pause(1), text("o"), Pause(1), finish()]])
    reader = bench.stream()
    await bench.clock.advance(0.5)
    assert reader.text == "Hell"
    await bench.clock.advance(1)
    assert reader.text == "Hello"
    await bench.clock.advance(1)
    await reader.task


async def test_tools_in_play_leave_only_this_way(bench: Bench) -> None:
    request = chat()
    request.tools.append(ToolDefinition(name="f"))
    with_tools = (replace(able(name), can=frozenset({"prefill", "tools"})) for name in "ab")
    bench.deploy(*with_tools, a=[[text("Hel"), CUT]], b=[streamed("Hello")])
    reader = bench.stream(request=request)
    await reader.task
    assert reader.text == "Hello"
    assert reader.messages[-1].receipt.continuations == [SPLICE]


async def test_one_that_answers_in_other_words_is_given_up_and_the_next_is_asked(bench: Bench) -> None:
    bench.deploy(a=[[text("Hel"), CUT]], b=[[text("Her"), text("e"), Hang()]], c=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert bench.providers.calls[1].cancelled
    rows = bench.journal.rows
    assert [(row.status, row.kind) for row in rows] == [
        (INTERRUPTED, 0), (CANCELLED, CONTINUATION), (OK, CONTINUATION),
    ]  # fmt: skip
    assert rows[1].usage.output_tokens == 1
    assert bench.fleet.standing("b/m").breaker.calls == 0
    assert reader.messages[-1].receipt.continuations == [SPLICE]


async def test_where_all_do_the_client_is_told_what_broke_the_answer_off_and_nothing_was_added(bench: Bench) -> None:
    bench.deploy(a=[[text("Hel"), CUT]], b=[[text("Hey"), Hang()]], c=[[text("He"), finish()]])
    reader = bench.stream()
    told = await bench.failure(reader.task)
    assert (told.reason, told.metadata["deployment"], told.metadata["attempts"]) == (Reason.UPSTREAM_CUT, "a/m", "3")
    assert "b/m: it answered in other words" in told.message
    assert "c/m: it answered in other words" in told.message
    assert (reader.text, reader.finishes) == ("Hel", [])


async def test_an_answer_can_break_off_again_after_it_was_joined(bench: Bench) -> None:
    bench.deploy(
        Deployment("a", "m"), Deployment("b", "m"), able("c"),
        a=[[text("H"), CUT]], b=[streamed("Hello")], c=[[text("ell"), SILENT]],
    )  # fmt: skip
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hello"
    assert bench.providers.asked() == ["a/m", "c/m", "b/m"]
    assert reader.messages[-1].receipt.continuations == [PREFILL, SPLICE]


async def test_of_two_choices_one_that_was_finished_stays_so(bench: Bench) -> None:
    half: list[Item] = [text("a", 0), text("b", 1), finish(0), CUT]
    whole: list[Item] = [text("other", 0), text("bb", 1), finish(1), finish(0)]
    bench.deploy(a=[half], b=[whole])
    reader = bench.stream(request=chat(choice_count=2))
    await reader.task
    assert [(delta.index, delta.text) for delta in reader.deltas if delta.text] == [(0, "a"), (1, "b"), (1, "b")]
    assert [delta.index for delta in reader.deltas if delta.finish_reason] == [0, 1]


# -- what is told of it ------------------------------------------------------------------------------------------------


async def test_what_an_answer_took_is_what_one_attempt_would_have_and_what_it_cost_is_what_all_did(
    bench: Bench,
) -> None:
    bench.deploy(
        able("a"),
        a=[
            [text("Hello "), text("world"), usage(Usage(input_tokens=10, output_tokens=3)), CUT],
            [text("!"), finish(), usage(Usage(input_tokens=13, output_tokens=1))],
        ],
    )
    reader = bench.stream()
    await reader.task
    last = reader.messages[-1]
    assert last.chunk.usage == Usage(input_tokens=10, output_tokens=4)
    assert last.receipt.cost_nanos == (10 + 13) * 1000 + (3 + 1) * 2000
    assert last.receipt.continuations == [PREFILL]
    assert last.receipt.attempts == 2
    assert [row.cost_nanos for row in bench.journal.rows] == [16_000, 15_000]


async def test_an_answer_that_was_said_again_took_what_the_last_attempt_took(bench: Bench) -> None:
    bench.deploy(a=[[text("Hel"), CUT]], b=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    assert reader.messages[-1].chunk.usage == USAGE


async def test_the_ledger_and_the_trace_say_what_happened(bench: Bench) -> None:
    bench.deploy(able("a"), Deployment("b", "m"), a=[[text("Hel"), CUT], CUT], b=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    rows = bench.journal.rows
    assert [(row.deployment, row.status, row.kind) for row in rows] == [
        ("a/m", INTERRUPTED, 0),
        ("a/m", FAILED, CONTINUATION),
        ("b/m", OK, CONTINUATION),
    ]
    spans = bench.tracer.named("attempt")
    assert [span.error for span in spans] == ["UPSTREAM_CUT", "UPSTREAM_CUT", ""]
    assert [span.attributes.get("tollway.continuation") for span in spans] == [None, "prefill", "splice"]
    (chat_span,) = bench.tracer.named("chat")
    assert chat_span.attributes["tollway.continued"] == ("splice",)
    assert chat_span.attributes["tollway.outcome"] == "ok"


async def test_a_chunk_of_the_rest_names_no_other_answer(bench: Bench) -> None:
    other = ChatChunk(id="chat-2", model="m-2027", deltas=[Delta(text="lo", role=Role.ROLE_ASSISTANT)])
    bench.deploy(able("a"), a=[[text("Hel"), CUT], [other, finish()]])
    reader = bench.stream()
    await reader.task
    assert {message.chunk.id for message in reader.messages} == {"chat-1", ""}
    assert reader.messages[1].chunk == ChatChunk(deltas=[Delta(text="lo")])


# -- leaving and deadlines ---------------------------------------------------------------------------------------------


async def test_the_deadline_holds_for_the_answer_with_all_that_goes_on_with_it(bench: Bench) -> None:
    bench.deploy(able("a"), able("b"), a=[[text("a"), Pause(3), CUT]], b=[Hang()])
    bench.providers.scripts["a/m"].append(Hang())
    reader = bench.stream(timeout=5.0)
    told = await bench.failure(reader.task)
    assert told.reason is Reason.DEADLINE_EXCEEDED
    assert bench.clock.monotonic() - bench.providers.calls[0].at == pytest.approx(5, abs=0.25)
    assert bench.providers.calls[1].timeout == pytest.approx(2)
    assert len(bench.providers.calls) == 2


async def test_a_reader_that_leaves_stops_whoever_goes_on(bench: Bench) -> None:
    bench.deploy(able("a"), a=[[text("a"), CUT], [text("b"), Hang()]])
    reader = bench.stream()
    await bench.clock.advance(0)
    assert reader.text == "ab"
    reader.task.cancel()
    await asyncio.wait([reader.task])
    assert bench.providers.calls[1].cancelled
    assert [row.status for row in bench.journal.rows] == [INTERRUPTED, CANCELLED]
    assert all(span.ended == 1 for span in bench.tracer.spans)


async def test_a_slow_reader_slows_down_whoever_goes_on(bench: Bench) -> None:
    bench.deploy(able("a"), a=[[text("a"), CUT], [text("b")] * 100])
    responses = bench.responses()
    await anext(responses)
    await anext(responses)
    await bench.clock.advance(1)
    assert bench.providers.calls[1].pulled == 1
    await responses.aclose()


# -- assured -----------------------------------------------------------------------------------------------------------


ASSURED = Preferences(assured=True)


@pytest.mark.parametrize("failure", [*BROKEN, SILENT], ids=lambda failure: failure.reason)
async def test_an_assured_answer_starts_again_elsewhere_and_nothing_is_seen_of_it(bench: Bench, failure: Item) -> None:
    bench.deploy(Deployment("a", "m", retries=0), Deployment("b", "m"), a=[[text("Other"), failure]], b=[streamed()])
    reader = bench.stream(preferences=ASSURED)
    await reader.task
    assert reader.text == "Hello"
    first, last = reader.messages[0].receipt, reader.messages[-1].receipt
    assert (first.deployment, first.attempts) == ("b/m", 2)
    assert last.continuations == []


async def test_nothing_of_it_goes_out_before_it_is_whole(bench: Bench) -> None:
    bench.deploy(assured=True, a=[[text("a"), Pause(1), text("b"), Pause(1), finish()]])
    reader = bench.stream()
    await bench.clock.advance(1.5)
    assert reader.messages == []
    await bench.clock.advance(1)
    assert (reader.text, reader.finishes) == ("ab", [STOP])
    assert len(reader.messages) == 3


async def test_a_question_may_do_without(bench: Bench) -> None:
    bench.deploy(assured=True, a=[[text("a"), Hang()]])
    reader = bench.stream(preferences=Preferences(assured=False))
    await bench.clock.advance(0)
    assert reader.text == "a"
    reader.task.cancel()
    await asyncio.wait([reader.task])


async def test_an_assured_answer_that_nobody_brings_is_one_error_and_no_content(bench: Bench) -> None:
    bench.deploy(Deployment("a", "m", retries=0), a=[[text("a"), CUT]])
    reader = bench.stream(preferences=ASSURED)
    assert (await bench.failure(reader.task)).reason is Reason.UPSTREAM_CUT
    assert reader.messages == []


async def test_what_an_assured_answer_cost_includes_what_was_thrown_away(bench: Bench) -> None:
    bench.deploy(Deployment("a", "m", retries=0), Deployment("b", "m"), a=[[text("1234"), CUT]], b=[streamed()])
    reader = bench.stream(preferences=ASSURED)
    await reader.task
    assert reader.messages[-1].receipt.cost_nanos == 20_000 + 3 * 1000 + 1 * 2000
    assert reader.messages[-1].chunk.usage == USAGE
