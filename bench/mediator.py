"""What the mediator itself costs: one send through three behaviors, in microseconds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from mesh.mediator import Behavior, Mediator, Next, Query


@dataclass(frozen=True, slots=True)
class Echo(Query[int]):
    value: int


class Passing(Behavior):
    """The least a behavior can be: a frame of its own around the next."""

    async def handle(self, message: Any, next: Next) -> Any:
        return await next(message)


async def echo(message: Echo) -> int:
    return message.value


async def _batch(mediator: Mediator, sends: int) -> float:
    message = Echo(1)
    started = time.perf_counter()
    for _ in range(sends):
        await mediator.send(message)
    return (time.perf_counter() - started) / sends * 1e6


async def measure(batches: int = 20, sends: int = 5_000) -> float:
    """Microseconds a send: the median of several batches, after one that warms up."""
    mediator = Mediator([(Echo, echo)], behaviors=[Passing(), Passing(), Passing()])
    await _batch(mediator, sends)
    return median([await _batch(mediator, sends) for _ in range(batches)])


if __name__ == "__main__":
    print(f"{asyncio.run(measure()):.2f} µs a send through three behaviors")
