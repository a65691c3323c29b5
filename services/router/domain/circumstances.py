"""What strategies weigh: the question, how deployments stand, the time, and chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mesh.money import cost_nanos
from services.router.domain.fleet import Fleet
from services.router.domain.needs import Needs
from services.router.domain.routes import Candidate
from tollway.chat.v1.chat_pb2 import ChatRequest, Usage
from tollway.ledger.v1.ledger_pb2 import Price

FindPrice = Callable[[str, str, float], Price | None]
"""What a provider's model costs at a Unix time; None where that is not known."""

_USUAL_ANSWER = 512
"""Tokens that an answer is taken for, where prices are compared and the question sets no lower cap."""


class Chance(Protocol):
    """What is used of `random.Random`."""

    def random(self) -> float: ...

    def sample(self, population: Sequence[Any], k: int) -> list[Any]: ...


@dataclass(slots=True)
class Circumstances:
    """Of one question. `now` is on the clock's monotonic time, `unix` the same moment in Unix time."""

    chat: ChatRequest
    needs: Needs
    streamed: bool
    fleet: Fleet
    now: float
    unix: float
    chance: Chance
    find_price: FindPrice

    def in_flight(self, candidate: Candidate) -> int:
        """Calls under way."""
        standing = self.fleet.seen(candidate.name)
        return 0 if standing is None else standing.in_flight

    def load(self, candidate: Candidate) -> float:
        """Calls under way with this one among them, for each part of its weight."""
        return (self.in_flight(candidate) + 1) / candidate.deployment.weight

    def expected(self, candidate: Candidate) -> float | None:
        """Seconds until its first content, or, not streamed, its answer; None where nothing is known."""
        standing = self.fleet.seen(candidate.name)
        return None if standing is None else standing.pace.expected(self.now, streamed=self.streamed)

    def price(self, candidate: Candidate) -> int | None:
        """Nano-USD that an answer of the usual length would cost; None where no price is known."""
        price = self.find_price(candidate.deployment.provider, candidate.model, self.unix)
        if price is None:
            return None
        output = min(self.needs.output_tokens or _USUAL_ANSWER, _USUAL_ANSWER)
        return cost_nanos(Usage(input_tokens=self.needs.input_tokens, output_tokens=output), price)


def told(seconds: float | None) -> str:
    """An expectation, as people are told of it."""
    return "not measured yet" if seconds is None else f"about {seconds:.3g} s"
