"""Which questions the response cache has to do with, and who shares what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mesh.config.patterns import find
from services.router.domain.principal import Principal
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.router.v1.router_pb2 import CacheMode

_NAMES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, as the cache compares them. Answers of one `scope` are never given in another."""

    scope: tuple[str, ...]
    fingerprint: bytes
    chat: ChatRequest
    streamed: bool


def _anybody(deployment: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Ruled:
    """A question as it is going to be put: the chat, further models, and whose answer (`provider/model`) will do."""

    chat: ChatRequest
    models: Sequence[str]
    may_answer: Callable[[str], bool] = _anybody


@dataclass(frozen=True, slots=True)
class Use:
    """What the cache does for a question: whether it looks for an answer, and how many seconds it keeps a new one."""

    look: bool
    ttl: float


class Ttls:
    """How long answers are kept, by the names and patterns of models; `default` where a request alone asks for it.

    The closer to the question, the more it counts: what the request says of the cache, else the key, else the model.
    A request does not say how long, so that this is what the key says, else the model, else `default`.
    """

    def __init__(self, by_model: Mapping[str, float | None], default: float) -> None:
        self._by_model, self._default = by_model, default
        self.any = any(ttl is not None for ttl in by_model.values())
        """Whether any model's answers are kept without being asked for."""
        self._of = lru_cache(_NAMES_KEPT)(self._find)

    def use(self, model: str, mode: CacheMode.ValueType, of_key: float | None = None) -> Use | None:
        """What to do for a question to that model, under a key whose answers are kept for `of_key` seconds.

        None where the cache has nothing to do with it.
        """
        if mode == CacheMode.CACHE_MODE_BYPASS:
            return None
        ttl = self._of(model) if of_key is None else of_key
        if mode == CacheMode.CACHE_MODE_UNSPECIFIED:
            return None if ttl is None else Use(True, ttl)
        return Use(mode == CacheMode.CACHE_MODE_USE, self._default if ttl is None else ttl)

    def _find(self, model: str) -> float | None:
        entry = find(self._by_model, model)
        return None if entry is None else self._by_model[entry]


def scope_of(principal: Principal) -> tuple[str, ...]:
    """Who shares answers: a project's keys, as far as they may ask for the same models."""
    return (principal.tenant, principal.project, *sorted(principal.models))
