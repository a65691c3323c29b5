from __future__ import annotations

from typing import Any

import pytest

from mesh.clock import VirtualClock
from services.router.adapters.exact_cache import ExactCache, _name
from services.router.domain.caching import Asked
from services.router.domain.kept_answer import KeptAnswer
from tests.unit.services.router.memory_state import MemoryState
from tests.unit.services.router.twins import answer, chat, text
from tollway.router.v1.router_pb2 import CreateChatCompletionResponse, StreamChatCompletionResponse

WHOLE = KeptAnswer(1.0, "a/m", [CreateChatCompletionResponse(chat=answer())])
STREAM = KeptAnswer(1.0, "a/m", [StreamChatCompletionResponse(chunk=text(words)) for words in ("a", "b")])


def asked(**changes: Any) -> Asked:
    return Asked(**{"scope": ("t", "p"), "fingerprint": b"1", "chat": chat(), "streamed": False, **changes})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryState:
    return MemoryState(clock)


@pytest.fixture
def cache(store: MemoryState, clock: VirtualClock) -> ExactCache:
    return ExactCache(store, clock, 10_000)


@pytest.mark.parametrize(("streamed", "kept"), [(False, WHOLE), (True, STREAM)])
async def test_an_answer_is_found_by_its_question_until_it_lapses(
    cache: ExactCache, clock: VirtualClock, streamed: bool, kept: KeptAnswer
) -> None:
    assert await cache.find(asked(streamed=streamed)) is None
    await cache.keep(asked(streamed=streamed), kept, 60.0)
    assert await cache.find(asked(streamed=streamed)) == kept
    await clock.advance(60)
    assert await cache.find(asked(streamed=streamed)) is None


@pytest.mark.parametrize(
    "other",
    [
        asked(scope=("u", "p")), asked(scope=("t", "q")), asked(scope=("t",)), asked(fingerprint=b"2"),
        asked(streamed=True),
    ],
)  # fmt: skip
async def test_it_is_not_found_by_another_question_in_another_shape_or_by_somebody_else(
    cache: ExactCache, other: Asked
) -> None:
    await cache.keep(asked(), WHOLE, 60.0)
    assert await cache.find(other) is None


async def test_routers_that_share_the_store_share_answers(
    cache: ExactCache, store: MemoryState, clock: VirtualClock
) -> None:
    await cache.keep(asked(), WHOLE, 60.0)
    assert await ExactCache(store, clock, 10_000).find(asked()) == WHOLE


async def test_what_was_used_longest_ago_goes_first(store: MemoryState, clock: VirtualClock) -> None:
    cache = ExactCache(store, clock, 1500)
    for number in (1, 2):
        await cache.keep(asked(fingerprint=b"%d" % number), WHOLE, 60.0)
    await cache.find(asked(fingerprint=b"1"))
    await cache.keep(asked(fingerprint=b"3"), WHOLE, 60.0)
    found = [await cache.find(asked(fingerprint=b"%d" % number)) is not None for number in (1, 2, 3)]
    assert found == [True, False, True]


@pytest.mark.parametrize("kept", [b"", b"\xc1", b"\x93\xc0\xc0\xc0", b"\x93\xcb?\xf0\0\0\0\0\0\0\xa1a\xc4\x01\xc1"])
async def test_what_cannot_be_read_is_not_there(cache: ExactCache, store: MemoryState, kept: bytes) -> None:
    await store.put(_name(asked()), kept, 60.0)
    assert await cache.find(asked()) is None
