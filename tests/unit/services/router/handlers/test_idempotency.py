"""A question under a key is asked once, whoever sends it again, from wherever, and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from mesh.errors import Reason
from mesh.mediator import Mediator, when
from services.router.domain.principal import Principal
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.idempotency import Idempotency, has_key
from services.router.handlers.keeping import LEASE
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.bench import PARENT, Bench, Reader
from tests.unit.services.router.memory_state import MemoryState
from tests.unit.services.router.twins import (
    Hang,
    Item,
    Pause,
    answer,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATUS_CANCELLED, ATTEMPT_STATUS_INTERRUPTED, ATTEMPT_STATUS_OK
from tollway.router.v1.router_pb2 import CreateChatCompletionResponse, Preferences

DAY = 86_400.0
SLOW: list[Item] = [role(), text("a"), Pause(2), text("b"), Pause(2), text("c"), Pause(2), finish(), usage()]
"""Takes six seconds."""
LONG: list[Item] = [*(text("x" * 1000) for _ in range(40)), Pause(2), text("end"), finish(), usage()]


class Router:
    """A router of several that share a store and a provider."""

    def __init__(self, bench: Bench, store: MemoryState, **settings: Any) -> None:
        limits = {"keep": DAY, "max_answer": 100_000, "max_bytes": 1_000_000, **settings}
        self.idempotency = Idempotency(store, bench.clock, bench.tracer, bench.metrics, **limits)
        handlers: list[tuple[type, Callable[[Any], Any]]] = [
            (CreateChatCompletion, partial(create_chat_completion, desk=bench.desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=bench.desk)),
        ]
        self._clock = bench.clock
        self._mediator = Mediator(handlers, behaviors=[when(has_key, self.idempotency)])

    def _question(self, key: str, request: ChatRequest | None, timeout: float | None, who: Principal | None) -> Any:
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        preferences = Preferences(idempotency_key=key)
        given = {"principal": who} if who is not None else {}
        return partial(
            lambda kind, **fields: kind(**fields), chat=request or chat(), request_id="req-1", tags=["ci"],
            parent=PARENT, deadline=deadline, preferences=preferences, **given,
        )  # fmt: skip

    def create(
        self,
        key: str = "k",
        request: ChatRequest | None = None,
        timeout: float | None = None,
        who: Principal | None = None,
    ) -> asyncio.Task[CreateChatCompletionResponse]:
        command = self._question(key, request, timeout, who)(CreateChatCompletion)

        async def send() -> CreateChatCompletionResponse:
            response: CreateChatCompletionResponse = await self._mediator.send(command)
            return response

        return asyncio.get_running_loop().create_task(send())

    def stream(
        self,
        key: str = "k",
        request: ChatRequest | None = None,
        timeout: float | None = None,
        who: Principal | None = None,
    ) -> Reader:
        command = self._question(key, request, timeout, who)(StreamChatCompletion)
        return Reader(self._mediator.stream(command))


@pytest.fixture
async def store(bench: Bench) -> MemoryState:
    return MemoryState(bench.clock)


@pytest.fixture
async def here(bench: Bench, store: MemoryState) -> AsyncIterator[Router]:
    bench.deploy(a=[SLOW])
    router = Router(bench, store)
    yield router
    await router.idempotency.close()


@pytest.fixture
async def there(bench: Bench, store: MemoryState, here: Router) -> AsyncIterator[Router]:
    """Another router."""
    router = Router(bench, store)
    yield router
    await router.idempotency.close()


@pytest.fixture(params=["in the same router", "in another router"])
def repeating(request: pytest.FixtureRequest, here: Router, there: Router) -> Router:
    """Where the question is sent again."""
    return here if request.param == "in the same router" else there


async def leave(reader: Reader) -> None:
    reader.task.cancel()
    await asyncio.wait((reader.task,))


async def test_a_repeat_while_it_runs_gets_everything_and_nobody_else_is_called(
    bench: Bench, here: Router, repeating: Router
) -> None:
    first = here.stream()
    await bench.clock.advance(3)
    second = repeating.stream()
    await bench.seconds(second.task)
    assert first.text == second.text == "abc"
    assert second.finishes == first.finishes
    assert bench.providers.asked() == ["a/m"]
    assert [row.status for row in bench.journal.rows] == [ATTEMPT_STATUS_OK]


async def test_a_repeat_while_it_runs_gets_what_comes_when_it_comes(
    bench: Bench, here: Router, repeating: Router
) -> None:
    here.stream()
    await bench.clock.advance(1)
    second = repeating.stream()
    await bench.clock.advance(0.2)
    assert second.text == "a"
    await bench.clock.advance(2)
    assert second.text == "ab"
    await bench.clock.advance(2)
    assert (second.text, second.finishes) == ("abc", [])
    await bench.clock.advance(2)
    assert second.task.done()


async def test_a_client_that_lost_its_connection_gets_all_of_the_answer_and_it_is_billed_once(
    bench: Bench, here: Router, repeating: Router
) -> None:
    first = here.stream()
    await bench.clock.advance(1)
    await leave(first)
    await bench.clock.advance(1.5)  # nobody listens
    second = repeating.stream()
    await bench.seconds(second.task)
    assert second.text == "abc"
    (row,) = bench.journal.rows
    assert (row.status, row.cost_nanos) == (ATTEMPT_STATUS_OK, 10 * 1000 + 5 * 2000)
    assert second.messages[-1].receipt.cost_nanos == row.cost_nanos


async def test_a_client_may_lose_its_connection_again_and_again(bench: Bench, here: Router, repeating: Router) -> None:
    reader = here.stream()
    for _ in range(4):
        await bench.clock.advance(1)
        await leave(reader)
        reader = repeating.stream()
    await bench.seconds(reader.task)
    assert reader.text == "abc"
    assert bench.providers.asked() == ["a/m"]


async def test_a_repeat_afterwards_is_given_the_same_again(bench: Bench, here: Router, repeating: Router) -> None:
    first = here.stream()
    await bench.seconds(first.task)
    await bench.clock.advance(DAY - 60)
    second = repeating.stream()
    assert await bench.seconds(second.task) == 0
    assert [message.chunk for message in second.messages] == [message.chunk for message in first.messages]
    then, now = first.messages[-1].receipt, second.messages[-1].receipt
    assert not then.replayed
    assert now.replayed
    assert second.messages[0].receipt.replayed
    assert (now.request_id, now.trace_id, now.cost_nanos) == (then.request_id, then.trace_id, then.cost_nanos)
    assert len(bench.journal.rows) == 1


async def test_after_a_day_the_key_is_new(bench: Bench, here: Router, repeating: Router) -> None:
    await bench.seconds(here.stream().task)
    await bench.clock.advance(DAY)
    again = repeating.stream()
    await bench.seconds(again.task)
    assert not again.messages[-1].receipt.replayed
    assert len(bench.journal.rows) == 2


async def test_a_whole_answer_is_waited_for_and_given_again(bench: Bench, here: Router, repeating: Router) -> None:
    bench.providers.scripts = {"a/m": [[Pause(3)]]}
    first = here.create()
    await bench.clock.advance(1)
    first.cancel()
    attached = repeating.create()
    await bench.seconds(attached)
    assert attached.result().chat == answer()
    assert attached.result().receipt.replayed
    after = repeating.create()
    await bench.seconds(after)
    assert after.result() == attached.result()
    assert bench.providers.asked() == ["a/m"]


@pytest.mark.parametrize("running", [True, False])
async def test_another_question_under_the_key_is_a_conflict(
    bench: Bench, here: Router, repeating: Router, running: bool
) -> None:
    first = here.stream()
    await bench.clock.advance(1 if running else 10)
    told = await bench.failure(repeating.stream(request=chat(words="Something else")).task)
    assert told.reason is Reason.IDEMPOTENCY_CONFLICT
    assert told.metadata == {"request_id": "req-1", "trace_id": "a" * 32, "attempts": "0"}
    whole = await bench.failure(repeating.create())
    assert whole.reason is Reason.IDEMPOTENCY_CONFLICT
    assert "streamed answer" in whole.message
    await bench.seconds(first.task)
    assert bench.providers.asked() == ["a/m"]


@pytest.mark.parametrize(
    "who",
    [
        Principal("other", "default", "local"),
        Principal("default", "other", "local"),
        Principal("default", "default", "b"),
    ],
)
async def test_a_key_is_nobody_elses(bench: Bench, here: Router, repeating: Router, who: Principal) -> None:
    await bench.seconds(here.stream().task)
    other = repeating.stream(who=who)
    await bench.seconds(other.task)
    assert not other.messages[-1].receipt.replayed
    assert len(bench.journal.rows) == 2


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.UPSTREAM_RATE_LIMITED, Reason.UPSTREAM_FAILED, Reason.UPSTREAM_CREDENTIALS])
async def test_a_failure_that_may_pass_frees_the_key(
    bench: Bench, here: Router, repeating: Router, reason: Reason
) -> None:
    bench.providers.scripts = {"a/m": [error(reason, 60.0)]}
    failed = here.stream()
    await bench.failure(failed.task)
    bench.providers.scripts = {"a/m": [streamed("Hi")]}
    for _, breaker in bench.fleet.breakers():
        breaker.close()
    again = repeating.stream()
    await bench.seconds(again.task)
    assert again.text == "Hi"
    assert not again.messages[-1].receipt.replayed


async def test_an_error_that_would_only_come_again_is_given_again(
    bench: Bench, here: Router, repeating: Router
) -> None:
    bench.providers.scripts = {"a/m": [error(Reason.CONTEXT_LENGTH_EXCEEDED, upstream_status="400")]}
    first = await bench.failure(here.stream().task)
    second = await bench.failure(repeating.stream().task)
    assert (second.reason, second.message) == (first.reason, first.message)
    assert second.metadata == {**first.metadata, "replayed": "1"}
    assert len(bench.journal.rows) == 1


async def test_an_error_before_any_call_is_found_out_anew(bench: Bench, here: Router, repeating: Router) -> None:
    told = await bench.failure(here.stream(request=chat("nope")).task)
    assert told.reason is Reason.MODEL_NOT_FOUND
    again = repeating.stream()
    await bench.seconds(again.task)
    assert again.text == "abc"


async def test_an_answer_that_broke_off_is_no_answer_and_both_calls_are_booked(
    bench: Bench, here: Router, repeating: Router
) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Pause(1), error(Reason.UPSTREAM_CUT)], SLOW]}
    first = here.stream()
    await bench.clock.advance(0.5)
    beside = repeating.stream()
    for reader in (first, beside):
        told = await bench.failure(reader.task)
        assert (told.reason, reader.text) == (Reason.UPSTREAM_CUT, "a")
    again = repeating.stream()
    await bench.seconds(again.task)
    assert again.text == "abc"
    assert [row.status for row in bench.journal.rows] == [ATTEMPT_STATUS_INTERRUPTED, ATTEMPT_STATUS_OK]


async def test_a_bug_is_told_as_one_and_frees_the_key(
    bench: Bench, here: Router, repeating: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.providers, "stream", lambda *_: 1 / 0)
        assert (await bench.failure(here.stream().task)).reason is Reason.INTERNAL
    again = repeating.stream()
    await bench.seconds(again.task)
    assert again.text == "abc"


async def die(router: Router) -> None:
    """Ends a router's tasks without their having the time to write anything, as kill -9 does."""
    keeper = router.idempotency._keeper.store
    assert isinstance(keeper, MemoryState)
    keeper.gone = True
    for task in router.idempotency._carrying.values():
        task.cancel()
    await asyncio.gather(*router.idempotency._carrying.values(), return_exceptions=True)
    keeper.gone = False


async def test_the_key_of_a_router_that_is_gone_is_free_when_its_lease_is_over(
    bench: Bench, here: Router, there: Router
) -> None:
    bench.providers.scripts = {"a/m": [[role(), Hang()], SLOW]}
    here.stream()
    await bench.clock.advance(1)
    waiting = there.stream()
    await bench.clock.advance(1)
    await die(here)
    assert await bench.seconds(waiting.task) <= LEASE + 6 + 1
    assert waiting.text == "abc"
    assert not waiting.messages[-1].receipt.replayed


async def test_who_was_following_a_router_that_is_gone_is_told_and_may_ask_again(
    bench: Bench, here: Router, there: Router
) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Hang()], SLOW]}
    here.stream()
    await bench.clock.advance(1)
    following = there.stream()
    await bench.clock.advance(1)
    await die(here)
    told = await bench.failure(following.task)
    assert (told.reason, following.text, following.finishes) == (Reason.SERVICE_UNAVAILABLE, "a", [])
    again = there.stream()
    await bench.seconds(again.task)
    assert again.text == "abc"


async def test_a_long_answer_keeps_its_key(bench: Bench, here: Router, there: Router) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Pause(60), text("b"), finish(), usage()]]}
    here.stream()
    await bench.clock.advance(50)
    second = there.stream()
    await bench.seconds(second.task)
    assert second.text == "ab"
    assert len(bench.journal.rows) == 1


async def test_a_router_that_lost_its_key_does_not_write_over_whose_it_is_now(
    bench: Bench, here: Router, there: Router, store: MemoryState
) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Pause(30), finish(), usage()], SLOW]}
    first = here.stream()
    await bench.clock.advance(1)
    store.gone = True
    await bench.clock.advance(15)  # nothing can be renewed
    store.gone = False
    second = there.stream()
    await bench.seconds(second.task)
    await bench.seconds(first.task)
    assert (first.text, second.text) == ("a", "abc")
    third = Router(bench, store).stream()
    await bench.seconds(third.task)
    assert third.text == "abc"


async def test_without_the_store_nothing_is_promised_and_nobody_is_called(
    bench: Bench, here: Router, store: MemoryState
) -> None:
    store.gone = True
    assert (await bench.failure(here.stream().task)).reason is Reason.SERVICE_UNAVAILABLE
    assert bench.providers.calls == []


async def test_a_store_that_goes_meanwhile_does_not_touch_the_answer(
    bench: Bench, here: Router, store: MemoryState
) -> None:
    first = here.stream()
    await bench.clock.advance(0.05)
    store.gone = True
    await bench.seconds(first.task)
    assert first.text == "abc"
    assert here.idempotency._runs == {}


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_a_deadline_ends_a_question_that_nobody_listens_to(bench: Bench, here: Router, there: Router) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Hang()]]}
    first = here.stream(timeout=20)
    await bench.clock.advance(1)
    await leave(first)
    await bench.clock.advance(20)
    (row,) = bench.journal.rows
    assert row.status == ATTEMPT_STATUS_CANCELLED
    assert here.idempotency._carrying == {}


async def test_a_repeat_has_a_deadline_of_its_own(bench: Bench, here: Router, repeating: Router) -> None:
    first = here.stream()
    await bench.clock.advance(1)
    told = await bench.failure(repeating.stream(timeout=2).task)
    assert told.reason is Reason.DEADLINE_EXCEEDED
    await bench.seconds(first.task)
    assert first.text == "abc"


async def test_of_the_questions_nobody_listens_to_only_so_many_are_gone_on_with(
    bench: Bench, here: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.router.handlers.idempotency._MOST_ABANDONED", 2)
    readers = [here.stream(key) for key in "abc"]
    await bench.clock.advance(1)
    for reader in readers:
        await leave(reader)
    await bench.clock.advance(10)
    assert sorted(row.status for row in bench.journal.rows) == [
        ATTEMPT_STATUS_OK, ATTEMPT_STATUS_OK, ATTEMPT_STATUS_CANCELLED,
    ]  # fmt: skip


class TestAnAnswerThatIsTooLarge:
    @pytest.fixture
    async def here(self, bench: Bench, store: MemoryState) -> AsyncIterator[Router]:
        bench.deploy(a=[LONG])
        router = Router(bench, store, max_answer=10_000)
        yield router
        await router.idempotency.close()

    async def test_reaches_whom_asked_first_and_repeats_are_told(
        self, bench: Bench, here: Router, repeating: Router
    ) -> None:
        first = here.stream()
        await bench.clock.advance(1)
        beside = await bench.failure(repeating.stream().task)
        await bench.seconds(first.task)
        after = await bench.failure(repeating.stream().task)
        assert first.text == "x" * 40_000 + "end"
        for told in (beside, after):
            assert told.reason is Reason.IDEMPOTENCY_CONFLICT
            assert "idempotency.max_answer" in told.message
        assert len(bench.journal.rows) == 1

    async def test_ends_with_whom_asked_first(self, bench: Bench, here: Router, there: Router) -> None:
        first = here.stream()
        await bench.clock.advance(1)
        await leave(first)
        await bench.clock.advance(2)
        (row,) = bench.journal.rows
        assert row.status == ATTEMPT_STATUS_CANCELLED
        again = there.stream()
        await bench.seconds(again.task)
        assert len(bench.journal.rows) == 2

    async def test_is_read_as_fast_as_whom_asked_first_reads(self, bench: Bench, here: Router) -> None:
        command: Any = here._question("k", None, None, None)(StreamChatCompletion)
        async with aclosing(here._mediator.stream(command)) as responses:
            await anext(responses)
            await bench.clock.advance(1)
            assert bench.providers.calls[0].pulled <= 10 + 16 + 2
            rest = Reader(responses)
            await bench.seconds(rest.task)
        assert rest.text == "x" * 39_000 + "end"

    async def test_as_a_whole_is_told_too(self, bench: Bench, here: Router, repeating: Router) -> None:
        bench.providers.scripts = {"a/m": [answer("x" * 20_000)]}
        first = here.create()
        await bench.seconds(first)
        told = await bench.failure(repeating.create())
        assert told.reason is Reason.IDEMPOTENCY_CONFLICT


async def test_the_oldest_answers_go_where_all_of_them_are_too_much(bench: Bench, store: MemoryState) -> None:
    bench.deploy(a=[answer("x" * 500)])
    router = Router(bench, store, max_bytes=5_000)
    for key in range(10):
        await bench.seconds(router.create(f"k{key}"))
    assert 2 <= len(store.keys("idempotency:")) <= 5
    last = router.create("k9")
    await bench.seconds(last)
    assert last.result().receipt.replayed
    await bench.seconds(router.create("k0"))
    assert len(bench.providers.calls) == 11


async def test_an_answer_that_is_there_leaves_no_log_and_costs_two_operations(
    bench: Bench, here: Router, store: MemoryState
) -> None:
    bench.providers.scripts = {"a/m": [streamed("Hello")]}
    await bench.seconds(here.stream().task)
    assert store.asked == ["add", "swap"]
    await bench.seconds(here.stream().task)
    assert store.asked == ["add", "swap", "add", "get"]


async def test_the_log_goes_when_the_answer_is_there(bench: Bench, here: Router, store: MemoryState) -> None:
    first = here.stream()
    await bench.clock.advance(1)
    assert len(store.keys("idempotency-log:")) == 1
    await bench.seconds(first.task)
    await bench.clock.advance(0)
    assert store.keys("idempotency-log:") == []
    assert store.asked.count("append") <= 4


async def test_a_follower_looks_ever_more_rarely_while_nothing_comes(
    bench: Bench, here: Router, there: Router, store: MemoryState
) -> None:
    bench.providers.scripts = {"a/m": [[text("a"), Pause(60), finish(), usage()]]}
    here.stream()
    await bench.clock.advance(1)
    second = there.stream()
    await bench.seconds(second.task)
    assert store.asked.count("pieces") < 60 / 0.5 + 10


async def test_routers_that_are_asked_at_once_ask_once(bench: Bench, here: Router, there: Router) -> None:
    readers = [router.stream() for router in (here, there) for _ in range(5)]
    for reader in readers:
        await bench.seconds(reader.task)
    assert {reader.text for reader in readers} == {"abc"}
    assert bench.providers.asked() == ["a/m"]


async def test_a_router_that_closes_frees_its_keys_and_leaves_no_task(
    bench: Bench, here: Router, there: Router
) -> None:
    first = here.stream()
    await bench.clock.advance(1)
    await leave(first)
    await here.idempotency.close()
    assert here.idempotency._carrying == {}
    again = there.stream()
    await bench.seconds(again.task)
    assert again.text == "abc"
    assert [row.status for row in bench.journal.rows] == [ATTEMPT_STATUS_CANCELLED, ATTEMPT_STATUS_OK]


async def test_a_router_that_was_started_again_gives_what_the_store_has(
    bench: Bench, here: Router, store: MemoryState
) -> None:
    first = here.stream()
    await bench.seconds(first.task)
    await here.idempotency.close()
    again = Router(bench, store).stream()
    await bench.seconds(again.task)
    assert (again.text, again.messages[-1].receipt.replayed) == (first.text, True)
    assert len(bench.journal.rows) == 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_router_may_close_at_any_moment_and_nobody_is_left_waiting(
    bench: Bench, here: Router, turns: int
) -> None:
    reader = here.stream()
    for _ in range(turns):
        await asyncio.sleep(0)
    await here.idempotency.close()
    await bench.seconds(reader.task)
    assert (here.idempotency._runs, here.idempotency._carrying) == ({}, {})


async def test_a_question_without_a_key_asks_the_store_nothing(bench: Bench, here: Router, store: MemoryState) -> None:
    await bench.seconds(here.stream("").task)
    await bench.seconds(here.stream("").task)
    assert store.asked == []
    assert len(bench.journal.rows) == 2


async def test_repeats_are_counted_and_have_a_span_of_their_own(bench: Bench, here: Router) -> None:
    here.stream()
    await bench.clock.advance(1)
    await bench.seconds(here.stream().task)
    await bench.seconds(here.stream().task)
    await bench.failure(here.create())
    seen = [labels["tollway.outcome"] for name, _, labels in bench.metrics.seen if name.startswith("tollway.idem")]
    assert seen == ["attached", "replayed", "conflict"]
    spans = bench.tracer.named("repeat gpt")
    assert [span.attributes["tollway.idempotency"] for span in spans] == ["attached", "replayed"]
    assert {span.attributes["tollway.origin.trace_id"] for span in spans} == {"a" * 32}
    assert len(bench.tracer.named("chat gpt")) == 1
