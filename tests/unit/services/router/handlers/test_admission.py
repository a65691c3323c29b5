from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from mesh.mediator import Mediator, when
from mesh.state.memory import MemoryStore
from mesh.state.store import Draw, Rate, Slot
from services.router.domain.limits import Limit, Limits
from services.router.domain.principal import Principal
from services.router.domain.routes import Deployment
from services.router.handlers.admission import Admission
from services.router.handlers.behaviors import is_question
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import Hang, Item, Pause, answer, chat, error, finish, streamed, text, usage
from tollway.chat.v1.chat_pb2 import SamplingOptions, Usage
from tollway.router.v1.router_pb2 import CreateChatCompletionResponse

DAY = 86_400.0
TOKENS = Rate(1000, DAY)
CI = Principal("default", "default", "ci")


class Gate:
    """The router's mediator with limits."""

    def __init__(self, bench: Bench, *limits: Limit) -> None:
        self.bench = bench
        self.store = MemoryStore(bench.clock)
        self.admission = Admission(Limits(limits), self.store, bench.clock)
        handlers: list[tuple[type, Callable[[Any], Any]]] = [
            (CreateChatCompletion, partial(create_chat_completion, desk=bench.desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=bench.desk)),
        ]
        self.mediator = Mediator(handlers, behaviors=[when(is_question, self.admission)])

    def whole(self, cap: int = 50) -> CreateChatCompletion:
        return CreateChatCompletion(self._chat(cap), "req-1", [], PARENT, None, principal=CI)

    def stream(self, cap: int = 50) -> StreamChatCompletion:
        return StreamChatCompletion(self._chat(cap), "req-1", [], PARENT, None, principal=CI)

    def _chat(self, cap: int) -> Any:
        question = chat()
        question.sampling.CopyFrom(SamplingOptions(max_tokens=cap))
        return question

    async def ask(self, streamed: bool, cap: int = 50) -> Any:
        """The receipt, either way."""
        if not streamed:
            return (await self.mediator.send(self.whole(cap))).receipt
        async with aclosing(self.mediator.stream(self.stream(cap))) as responses:
            return [response async for response in responses][-1].receipt

    async def refused(self, streamed: bool = False, cap: int = 50) -> TollwayError:
        with pytest.raises(TollwayError) as raised:
            await self.ask(streamed, cap)
        return raised.value

    async def tokens_left(self) -> int:
        """By drawing none."""
        decision = await self.store.admit([Draw("limit:tokens:key:ci", TOKENS, 0)], [], "test")
        return decision.left[0].remaining

    async def is_free(self) -> bool:
        slot = Slot("limit:concurrency:key:ci", 1, 1.0)
        free = (await self.store.admit([], [slot], "test")).allowed
        await self.store.settle([], [slot], "test")
        return free


both = pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "streamed"])


@both
async def test_the_limit_is_let_through_and_not_one_more(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[streamed() if in_pieces else answer()])
    gate = Gate(bench, Limit("key:*", Rate(2, DAY)))
    remaining = [(await gate.ask(in_pieces)).rate_limits.requests.remaining for _ in range(2)]
    assert remaining == [1, 0]
    refused = await gate.refused(in_pieces)
    assert refused.reason is Reason.RATE_LIMITED
    assert refused.retry_after == DAY / 2
    assert refused.metadata["request_id"] == "req-1"
    assert refused.metadata["trace_id"] == PARENT.trace_id
    assert len(bench.providers.calls) == 2


async def test_a_model_s_limit_is_not_got_round_by_naming_it_second(bench: Bench) -> None:
    bench.deploy(fallback=Deployment("b", "m"), a=[answer()])
    gate = Gate(bench, Limit("model:other", Rate(1, DAY)))
    question = gate.whole()
    question.preferences.models.append("other")
    await gate.mediator.send(question)
    with pytest.raises(TollwayError, match="model:other may make 1 requests"):
        await gate.mediator.send(question)


async def test_a_stream_says_what_is_left_in_its_first_message_and_its_last(bench: Bench) -> None:
    bench.deploy(a=[streamed()])
    gate = Gate(bench, Limit("key:*", Rate(2, DAY), TOKENS))
    messages = [message async for message in gate.mediator.stream(gate.stream())]
    for message in (messages[0], messages[-1]):
        assert message.receipt.rate_limits.requests.remaining == 1
        assert message.receipt.rate_limits.tokens.limit == 1000
    assert not any(message.HasField("receipt") for message in messages[1:-1])


@both
async def test_tokens_settle_to_what_was_used(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[streamed() if in_pieces else answer()])  # 10 + 5 tokens
    gate = Gate(bench, Limit("key:*", tokens=TOKENS))
    await gate.ask(in_pieces, cap=900)
    assert await gate.tokens_left() == 985


@both
async def test_who_takes_more_is_charged_more(bench: Bench, in_pieces: bool) -> None:
    took = Usage(input_tokens=1500, output_tokens=700)
    bench.deploy(a=[[text("Hi"), finish(), usage(took)] if in_pieces else answer(counted=took)])
    gate = Gate(bench, Limit("key:*", tokens=TOKENS))
    await gate.ask(in_pieces)
    refused = await gate.refused(in_pieces, cap=1)
    assert refused.metadata["remaining_tokens"] == "0"
    assert refused.retry_after is not None
    await bench.clock.advance(refused.retry_after)
    assert (await gate.ask(in_pieces, cap=1)).attempts == 1


@both
async def test_a_request_that_failed_gives_its_tokens_back(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED)])
    gate = Gate(bench, Limit("key:*", Rate(5, DAY), TOKENS, 1))
    refused = await gate.refused(in_pieces, cap=900)
    assert refused.reason is Reason.UPSTREAM_REJECTED
    assert await gate.tokens_left() == 1000
    assert await gate.is_free()


async def test_every_attempt_that_took_tokens_counts(bench: Bench) -> None:
    broken: list[Item] = [text("Hi"), usage(Usage(input_tokens=10, output_tokens=30)), error(Reason.UPSTREAM_CUT)]
    bench.deploy(a=[broken])
    gate = Gate(bench, Limit("key:*", tokens=TOKENS))
    await gate.refused(True)
    assert await gate.tokens_left() == 960


@both
async def test_what_can_never_pass_says_so(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[answer()])
    gate = Gate(bench, Limit("key:*", tokens=TOKENS))
    refused = await gate.refused(in_pieces, cap=5000)
    assert "can never pass" in refused.message
    assert refused.metadata["repeat"] == "never"
    assert bench.providers.calls == []


# -- places ------------------------------------------------------------------------------------------------------------


@both
async def test_a_place_is_held_until_the_answer_has_ended(bench: Bench, in_pieces: bool) -> None:
    slow: Any = [Pause(5.0), *streamed()]
    bench.deploy(a=[slow])
    gate = Gate(bench, Limit("key:*", concurrency=1))
    asking = asyncio.get_running_loop().create_task(gate.ask(in_pieces))
    await bench.clock.advance(1.0)
    refused = await gate.refused(in_pieces)
    assert "1 requests under way" in refused.message
    assert refused.retry_after == 1.0
    await bench.clock.advance(5.0)
    await asking
    assert await gate.is_free()


@both
async def test_a_client_that_leaves_frees_its_place_and_its_tokens(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[Hang()])
    gate = Gate(bench, Limit("key:*", tokens=TOKENS, concurrency=1))
    asking = asyncio.get_running_loop().create_task(gate.ask(in_pieces, cap=900))
    await bench.clock.advance(1.0)
    assert not await gate.is_free()
    asking.cancel()
    await asyncio.wait((asking,))
    assert await gate.is_free()
    assert await gate.tokens_left() == 1000


async def test_a_reader_that_stops_in_the_middle_frees_its_place(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), text("b"), Hang()]])
    gate = Gate(bench, Limit("key:*", concurrency=1))
    async with aclosing(gate.mediator.stream(gate.stream())) as responses:
        await anext(responses)
        assert not await gate.is_free()
    assert await gate.is_free()


async def test_a_long_answer_keeps_its_place(bench: Bench) -> None:
    bench.deploy(a=[[Pause(300.0), *streamed()]])
    gate = Gate(bench, Limit("key:*", concurrency=1))
    renewing = asyncio.get_running_loop().create_task(gate.admission.renew())
    asking = asyncio.get_running_loop().create_task(gate.ask(True))
    await bench.clock.advance(200.0)
    assert not await gate.is_free()
    await bench.clock.advance(150.0)
    await asking
    assert await gate.is_free()
    renewing.cancel()


async def test_a_place_whose_router_was_killed_is_free_after_half_a_minute(bench: Bench) -> None:
    bench.deploy(a=[Hang()])
    gate = Gate(bench, Limit("key:*", concurrency=1))  # nobody renews
    asking = asyncio.get_running_loop().create_task(gate.ask(True))
    await bench.clock.advance(29.0)
    assert not await gate.is_free()
    await bench.clock.advance(2.0)
    assert await gate.is_free()
    asking.cancel()


async def test_an_answer_that_is_read_on_is_charged_when_it_ends(bench: Bench) -> None:
    drained = Deployment("a", "m", model_provider="openai", drain=30.0)
    bench.deploy(drained, a=[[text("Hi"), Pause(5.0), finish(), usage(Usage(input_tokens=10, output_tokens=300))]])
    gate = Gate(bench, Limit("key:*", tokens=TOKENS, concurrency=1))
    async with aclosing(gate.mediator.stream(gate.stream())) as responses:
        await anext(responses)
    assert await gate.tokens_left() == 1000
    assert await gate.is_free()
    await bench.clock.advance(6.0)
    assert await gate.tokens_left() == 690
    await gate.admission.close()


async def test_who_leaves_while_it_is_being_decided_holds_no_place(bench: Bench) -> None:
    class Slow(MemoryStore):
        async def admit(self, *arguments: Any) -> Any:
            decision = await super().admit(*arguments)
            await asyncio.Event().wait()
            return decision

    bench.deploy(a=[answer()])
    gate = Gate(bench, Limit("key:*", concurrency=1))
    gate.admission._store = Slow(bench.clock)
    asking = asyncio.get_running_loop().create_task(gate.ask(False))
    await bench.clock.advance(1.0)
    asking.cancel()
    await asyncio.wait((asking,))
    decision = await MemoryStore.admit(gate.admission._store, [], [Slot("limit:concurrency:key:ci", 1, 1.0)], "x")
    assert decision.allowed


# -- whom it concerns --------------------------------------------------------------------------------------------------


@both
async def test_who_falls_under_no_limit_is_not_held_up(bench: Bench, in_pieces: bool) -> None:
    bench.deploy(a=[streamed() if in_pieces else answer()])
    gate = Gate(bench, Limit("key:web", Rate(1, DAY), TOKENS, 1))
    for _ in range(3):
        receipt = await gate.ask(in_pieces)
        assert not receipt.HasField("rate_limits")


async def test_keys_do_not_eat_each_others_limits(bench: Bench) -> None:
    bench.deploy(a=[answer()])
    gate = Gate(bench, Limit("key:*", Rate(1, DAY)))
    for name in ("a", "b", "c"):
        command = gate.whole()
        command.principal = Principal("default", "default", name)
        response: CreateChatCompletionResponse = await gate.mediator.send(command)
        assert response.receipt.rate_limits.requests.scope == f"key:{name}"


async def test_a_store_that_is_lost_and_denies_is_what_the_client_is_told(bench: Bench) -> None:
    class Lost(MemoryStore):
        async def admit(self, *arguments: Any) -> Any:
            raise error(Reason.SERVICE_UNAVAILABLE, 1.0)

    bench.deploy(a=[answer()])
    gate = Gate(bench, Limit("key:*", Rate(1, DAY)))
    gate.admission._store = Lost(bench.clock)
    assert (await gate.refused()).reason is Reason.SERVICE_UNAVAILABLE
    assert bench.providers.calls == []
