"""An answer of the model's that is no conversation, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import orjson

from services.providers.adapters.sim import wire
from services.providers.adapters.sim.question import BadQuestion
from services.providers.domain.json_objects import Json


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer, or, where `pieces` are several, one that comes piece by piece."""

    content_type: str
    pieces: tuple[bytes, ...]


def text_in(fields: Json, name: str) -> str:
    given = fields.get(name)
    if not isinstance(given, str) or not given:
        raise BadQuestion(f"'{name}' must be a text.", name)
    return given


def whole_in(fields: Json, name: str, least: int, most: int) -> int | None:
    given = fields.get(name)
    if given is not None and (type(given) is not int or not least <= given <= most):
        raise BadQuestion(f"'{name}' must be a whole number from {least} to {most}.", name)
    return given


def drawn_from(given: Any) -> Random:
    return Random(blake2b(orjson.dumps(given), digest_size=8).digest())


def as_json(body: Json) -> Answered:
    return Answered("application/json", (orjson.dumps(body),))


def as_events(told: Iterable[tuple[str, Json]]) -> Answered:
    pieces = (f"event: {name}\n".encode() + wire.event({"type": name, **data}) for name, data in told)
    return Answered("text/event-stream; charset=utf-8", tuple(pieces))
