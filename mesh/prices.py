"""Which price holds: the one rule by which the router prices what it called, and the ledger what it books."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Set
from itertools import groupby
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.config.patterns import matches
from mesh.money import PPM
from tollway.ledger.v1.ledger_pb2 import PRICE_SOURCE_CATALOGUE, Markup, Price

ANY = "*"
"""As a price's model: every model of the provider without a price of its own."""

MOST_TIERS = 32
"""Sizes of prompts, and service tiers, that a price may tell apart."""
MOST_TOKENS = 10**9
"""Of a prompt, an answer, or a context window."""

_MOST_KNOWN = 4096
"""Models whose way to a price is remembered. Clients can make up as many as they like."""

_MARKED_UP = re.compile(r"(?P<version>.*)(?P<percent>[+-][0-9]+(?:\.[0-9]{1,4})?)%", re.DOTALL).fullmatch


def unix_seconds(moment: Timestamp) -> float:
    """Seconds since the Unix epoch."""
    return moment.seconds + moment.nanos / 1e9


class _Timeline(NamedTuple):
    """A model's prices in the order in which they take effect, and when they do, in Unix time."""

    times: list[float]
    prices: list[Price]

    def at(self, moment: float) -> Price | None:
        if moment >= self.times[-1]:  # nearly every question is about now
            return self.prices[-1]
        earlier = bisect_right(self.times, moment)
        return self.prices[earlier - 1] if earlier else None


class PriceBook:
    """All prices there are, arranged for looking one up, and what is added to them.

    A book does not change; whoever watches prices makes a new one of each list that arrives.
    """

    def __init__(self, prices: Iterable[Price] = (), markups: Iterable[Markup] = ()) -> None:
        self.prices = tuple(sorted(prices, key=lambda price: unix_seconds(price.effective_time)))
        self.markups = tuple(markups)
        self._own: dict[tuple[str, str], _Timeline] = {}
        catalogue: dict[tuple[str, str], list[Price]] = {}
        for price in self.prices:
            key = price.provider_name, price.model_name
            if price.source == PRICE_SOURCE_CATALOGUE:
                catalogue.setdefault(key, []).append(price)
                continue
            times, timeline = self._own.setdefault(key, _Timeline([], []))
            times.append(unix_seconds(price.effective_time))
            timeline.append(price)
        self._catalogue = {key: _latest_word(listed) for key, listed in catalogue.items()}
        self._patterns: dict[str, list[str]] = {}
        for provider, model in self._own:
            if model.endswith(ANY):
                self._patterns.setdefault(provider, []).append(model)
        for patterns in self._patterns.values():
            patterns.sort(key=len, reverse=True)
        self._added = {(markup.provider_name, markup.model_name): markup.ppm for markup in self.markups}
        self._known: dict[tuple[str, str], tuple[_Timeline, ...]] = {}
        self._marked_up: dict[tuple[str, int], Price] = {}

    def find(self, provider: str, model: str, at: float) -> Price | None:
        """What `provider`'s `model` cost at that Unix time, its markup included; None where no price was in force.

        The provider's price for the model, else the model's price whoever provides it, else the provider's price for
        the longest beginning of the model's name, else the catalogue's. Of each, the latest that had taken effect.
        """
        known = self._known.get((provider, model))
        if known is None:
            known = self._way_to(provider, model)
        for timeline in known:
            price = timeline.at(at)
            if price is not None and not price.withdrawn:
                return self._with_markup(price, provider, model) if self._added else price
        return None

    def _way_to(self, provider: str, model: str) -> tuple[_Timeline, ...]:
        beginnings = (pattern for pattern in self._patterns.get(provider, ()) if matches(pattern, model))
        keys = [(provider, model), ("", model), *((provider, pattern) for pattern in beginnings)]
        found = [self._own[key] for key in keys if key in self._own]
        if (provider, model) in self._catalogue:
            found.append(self._catalogue[provider, model])
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[provider, model] = tuple(found)
        return tuple(found)

    def _with_markup(self, price: Price, provider: str, model: str) -> Price:
        ppm = self._added.get((provider, model), self._added.get((provider, ANY), 0))
        if not ppm:
            return price
        made = self._marked_up.get((price.version, ppm))
        if made is None:
            made = self._marked_up[price.version, ppm] = marked_up(price, ppm)
        return made

    def own(self, provider: str, model: str) -> tuple[Price, ...]:
        """What was set for exactly this provider (possibly empty) and model (possibly a pattern), in the order in which
        it takes effect. The catalogue's is not among it."""
        timeline = self._own.get((provider, model))
        return () if timeline is None else tuple(timeline.prices)

    @property
    def owned(self) -> Set[tuple[str, str]]:
        """Every provider and model that somebody set a price for."""
        return self._own.keys()

    @property
    def catalogued(self) -> Set[tuple[str, str]]:
        """Every provider and model that the catalogue has said something of."""
        return self._catalogue.keys()

    def in_catalogue(self, provider: str, model: str) -> tuple[Price, ...]:
        """What the catalogue has said of a model, in the order in which it takes effect, as far as it still holds."""
        timeline = self._catalogue.get((provider, model))
        return () if timeline is None else tuple(timeline.prices)


def _latest_word(prices: list[Price]) -> _Timeline:
    """What holds of a catalogue's editions, which are in the order of their times: each replaces those before it from
    its first time on."""
    by_edition = sorted(prices, key=lambda price: price.catalogue_edition)
    held: list[Price] = []
    for _, edition in groupby(by_edition, key=lambda price: price.catalogue_edition):
        new = list(edition)
        begins = unix_seconds(new[0].effective_time)
        held = [price for price in held if unix_seconds(price.effective_time) < begins] + new
    return _Timeline([unix_seconds(price.effective_time) for price in held], held)


def marked_up(price: Price, ppm: int) -> Price:
    """The price with so many millionths added, which its version tells: `…+10%`."""
    made = Price()
    made.CopyFrom(price)
    made.markup_ppm = ppm
    made.version = f"{price.version}{format_percent(ppm, signed=True)}"
    return made


def by_version(version: str, prices: Mapping[str, Price]) -> Price | None:
    """The price that a row names, with its markup; None where it is none of `prices`, which are by version."""
    if (price := prices.get(version)) is not None:
        return price
    marked = _MARKED_UP(version)
    if marked is None or (price := prices.get(marked["version"])) is None:
        return None
    whole, _, decimals = marked["percent"].partition(".")
    return marked_up(price, int(f"{whole}{decimals.ljust(4, '0')}"))


def format_percent(ppm: int, *, signed: bool = False) -> str:
    """Millionths in per cent, exactly: `10%`, `-2.5%`; `+10%` where they are to have a sign."""
    sign = "-" if ppm < 0 else "+" if signed else ""
    whole, rest = divmod(abs(ppm), PPM // 100)
    decimals = f".{rest:04d}".rstrip("0").rstrip(".")
    return f"{sign}{whole}{decimals}%"
