"""Whatever providers and clients do: what is read is the beginning of an answer, and an answer that ends is whole.

All providers tell the same story, some of them in other words, each call up to where its script says, in pieces of any
size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.tracing import TraceContext
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.hedging import Hedge
from services.router.domain.routes import Deployment
from services.router.ports import CompletionStream
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import STOP, UPSTREAM, answer, error, finish, role, text, usage
from tollway.chat.v1.chat_pb2 import ChatChunk, Role
from tollway.providers.v1.providers_pb2 import (
    CreateCompletionRequest,
    CreateCompletionResponse,
    ProviderModel,
    StreamCompletionRequest,
    StreamCompletionResponse,
)
from tollway.router.v1.router_pb2 import Preferences

STORY = "Once upon a time, in a mesh of small services"
OTHER = STORY.upper()
FAULTS = [
    Reason.UPSTREAM_CUT, Reason.UPSTREAM_SILENT, Reason.UPSTREAM_FAILED, Reason.UPSTREAM_RATE_LIMITED,
    Reason.UPSTREAM_CREDENTIALS, Reason.UPSTREAM_REJECTED, Reason.CONTENT_FILTERED,
]  # fmt: skip


@dataclass(frozen=True)
class Part:
    """How a call goes: after a while it tells the story up to a place, piece by piece, and then fails, or does not."""

    after: float
    until: int
    piece: int
    fault: Reason | None
    in_other_words: bool


parts = st.builds(
    Part,
    after=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    until=st.integers(0, len(STORY)),
    piece=st.integers(1, 9),
    fault=st.sampled_from([None, *FAULTS]),
    in_other_words=st.sampled_from([False, False, False, True]),
)


class Tellers:
    """Implements `ProviderCalls`."""

    def __init__(self, clock: VirtualClock, calls: Sequence[Part]) -> None:
        self._clock, self._parts = clock, list(calls)
        self.calls = 0
        self.open = 0

    def _next(self) -> Part:
        self.calls += 1
        return self._parts.pop(0) if len(self._parts) > 1 else self._parts[0]

    async def complete(
        self, request: CreateCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CreateCompletionResponse:
        part = self._next()
        self.open += 1
        try:
            await self._clock.sleep(part.after)
        finally:
            self.open -= 1
        if part.fault is not None:
            raise error(part.fault, upstream_status="200")
        return CreateCompletionResponse(chat=answer(STORY), upstream=UPSTREAM)

    def stream(self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext) -> CompletionStream:
        last = request.chat.messages[-1]
        begun = last.content[0].text if last.role == Role.ROLE_ASSISTANT else ""
        part = self._next()
        stories = [story for story in (STORY, OTHER) if story.startswith(begun)]
        self.open += 1
        return Telling(self, part, stories[-1 if part.in_other_words else 0], len(begun), self._clock)

    async def known_models(self) -> Sequence[ProviderModel]:
        return ()


class Telling:
    """Implements `CompletionStream`."""

    def __init__(self, tellers: Tellers, part: Part, story: str, begun: int, clock: VirtualClock) -> None:
        self._tellers, self._part, self._story, self._begun, self._clock = tellers, part, story, begun, clock
        self._ended = False
        self._chunks = self._tell()

    def __aiter__(self) -> AsyncIterator[StreamCompletionResponse]:
        return self

    async def __anext__(self) -> StreamCompletionResponse:
        return StreamCompletionResponse(chunk=await anext(self._chunks), upstream=UPSTREAM)

    async def _tell(self) -> AsyncIterator[ChatChunk]:
        part = self._part
        yield role()
        await self._clock.sleep(part.after)
        end = len(STORY) if part.fault is None else max(part.until, self._begun)
        for start in range(self._begun, end, part.piece):
            yield text(self._story[start : min(start + part.piece, end)])
        if part.fault is not None:
            self.cancel()
            raise error(part.fault, upstream_status="200")
        yield finish()
        yield usage()
        self.cancel()

    def cancel(self) -> None:
        if not self._ended:
            self._ended = True
            self._tellers.open -= 1


def deployment(provider: str, prefill: bool) -> Deployment:
    return Deployment(
        provider,
        "m",
        retries=1,
        can=frozenset({"prefill"}) if prefill else None,
        breaker=BreakerPolicy(failures=2, open_for=4.0),
    )


@settings(max_examples=300, deadline=None)
@given(
    calls=st.lists(parts, min_size=1, max_size=12),
    prefills=st.lists(st.booleans(), min_size=1, max_size=3),
    hedged=st.booleans(),
    assured=st.booleans(),
    deadline=st.sampled_from([None, None, 2.0, 8.0]),
    leaves=st.sampled_from([None, None, 0.25, 1.5]),
    streams=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_what_is_read_is_the_beginning_and_what_ends_is_whole(
    calls: list[Part],
    prefills: list[bool],
    hedged: bool,
    assured: bool,
    deadline: float | None,
    leaves: float | None,
    streams: list[bool],
) -> None:
    async def scenario() -> None:
        bench = Bench()
        tellers = Tellers(bench.clock, calls)
        deployments = [deployment(name, prefill) for name, prefill in zip("abc", prefills, strict=False)]
        bench.deploy(*deployments, hedge=Hedge(1.0, 1.0) if hedged else None)
        bench.providers = tellers  # type: ignore[assignment]  # the desk knows either by what it can do
        for stream in streams:
            await ask(bench, stream, assured, deadline, leaves)
        await bench.clock.advance(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert tellers.open == 0
        assert len(bench.journal.rows) == tellers.calls
        assert all(span.ended == 1 for span in bench.tracer.spans)
        for _, breaker in bench.fleet.breakers():
            assert not breaker.probing or breaker.probes > 1
        for each in "abc":
            assert bench.fleet.standing(f"{each}/m").in_flight == 0

    asyncio.run(scenario())


async def ask(bench: Bench, stream: bool, assured: bool, deadline: float | None, leaves: float | None) -> None:
    if not stream:
        whole = bench.create(deadline)
        await (bench.seconds(whole) if leaves is None else leave(bench, whole, leaves))
        if not whole.cancelled() and whole.exception() is None:
            assert whole.result().chat.choices[0].message.content[0].text == STORY
        return
    reader = bench.stream(deadline, preferences=Preferences(assured=assured))
    await (bench.seconds(reader.task) if leaves is None else leave(bench, reader.task, leaves))
    told = STORY if STORY.startswith(reader.text) else OTHER
    assert told.startswith(reader.text)
    if reader.task.cancelled() or reader.task.exception() is not None:
        assert reader.finishes == []
        assert reader.task.cancelled() or isinstance(reader.task.exception(), TollwayError)
    else:
        assert reader.text == told
        assert reader.finishes == [STOP]
        assert reader.messages[-1].chunk.HasField("usage")


async def leave(bench: Bench, task: asyncio.Task[object], after: float) -> None:
    await bench.clock.advance(after)
    task.cancel()
    await asyncio.wait([task])
