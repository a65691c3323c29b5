"""Which price holds: the one rule by which the router prices what it called, and the ledger what it books."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from tollway.ledger.v1.ledger_pb2 import Price

ANY = "*"
"""As a price's model: every model of the provider without a price of its own."""


def unix_seconds(moment: Timestamp) -> float:
    """Seconds since the Unix epoch."""
    return moment.seconds + moment.nanos / 1e9


class PriceBook:
    """All prices there are, arranged for looking one up.

    A book does not change; whoever watches prices makes a new one of each list that arrives.
    """

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self.prices = tuple(sorted(prices, key=lambda price: unix_seconds(price.effective_time)))
        self._timelines: dict[tuple[str, str], tuple[list[float], list[Price]]] = {}
        for price in self.prices:
            times, timeline = self._timelines.setdefault((price.provider_name, price.model_name), ([], []))
            times.append(unix_seconds(price.effective_time))
            timeline.append(price)

    def find(self, provider: str, model: str, at: float) -> Price | None:
        """What `provider`'s `model` cost at that Unix time; None where no price was in force.

        The provider's price for the model, else the model's price whoever provides it, else the provider's price for
        any model. Of each, the latest that had taken effect.
        """
        return self.in_force(provider, model, at) or self.in_force("", model, at) or self.in_force(provider, ANY, at)

    def in_force(self, provider: str, model: str, at: float) -> Price | None:
        """The price set for exactly this provider (possibly empty) and model (possibly "*") that held at that time."""
        timeline = self._timelines.get((provider, model))
        if timeline is None:
            return None
        times, prices = timeline
        if at >= times[-1]:  # nearly every question is about now
            return prices[-1]
        earlier = bisect_right(times, at)
        return prices[earlier - 1] if earlier else None
