"""Answers by the very question they were given to, in the state that replicas share."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from msgspec import DecodeError as NotReadable
from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from mesh.clock import Clock
from mesh.state.store import StateStore
from services.router.domain import replay
from services.router.domain.caching import Asked
from services.router.domain.fingerprint import scoped
from services.router.domain.kept_answer import KeptAnswer
from services.router.domain.shelf import Shelf
from tollway.router.v1.router_pb2 import CreateChatCompletionResponse, StreamChatCompletionResponse


class _Entry(Struct, array_like=True):
    at: float
    deployment: str
    frames: bytes


_encode = Encoder().encode
_decode = Decoder(_Entry).decode


class ExactCache:
    """Implements `AnswerCache`. This router keeps `max_bytes` in the store; what was used longest ago goes first."""

    def __init__(self, store: StateStore, clock: Clock, max_bytes: int) -> None:
        self._store, self._clock, self._shelf = store, clock, Shelf(max_bytes)

    async def find(self, asked: Asked) -> KeptAnswer | None:
        name = _name(asked)
        kept = await self._store.get(name)
        if kept is None:
            return None
        shape = StreamChatCompletionResponse if asked.streamed else CreateChatCompletionResponse
        try:
            entry = _decode(kept)
            answer = KeptAnswer(entry.at, entry.deployment, replay.unframed(entry.frames, shape))
        except (NotReadable, DecodeError):  # another version of Tollway keeps them otherwise
            return None
        self._shelf.use(name)
        return answer

    async def keep(self, asked: Asked, answer: KeptAnswer, ttl: float) -> None:
        name = _name(asked)
        entry = _encode(_Entry(answer.at, answer.deployment, replay.framed(answer.responses)))
        await self._store.put(name, entry, ttl)
        now = self._clock.monotonic()
        for gone in self._shelf.add(name, len(entry), now, now + ttl):
            await self._store.delete(gone)


def _name(asked: Asked) -> str:
    shape = "stream" if asked.streamed else "whole"
    return "cache:" + scoped(*asked.scope, asked.fingerprint.hex(), shape)
