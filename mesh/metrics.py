"""What is counted, with no telemetry library in sight."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

Labels = Mapping[str, str | int | bool]


class LabelSet(dict[str, str | int | bool]):
    """Labels that are made once, used often and never changed: told apart by which they are, not by what they say."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]  # a dictionary has none
    __eq__ = object.__eq__
    __ne__ = object.__ne__


@lru_cache(4096)
def with_label(labels: LabelSet, name: str, value: str) -> LabelSet:
    """The labels and one more."""
    return LabelSet({**labels, name: value})


class Metrics(Protocol):
    """Where measurements go. Instruments are declared in `mesh.telemetry.instruments`, by name."""

    def count(self, name: str, value: int, labels: Labels) -> None:
        """Adds to a counter."""

    def record(self, name: str, value: float, labels: Labels) -> None:
        """Puts a value into a histogram."""

    def gauge(self, name: str, value: float, labels: Labels) -> None:
        """Sets a gauge."""


class NoMetrics:
    """Measures nothing."""

    def count(self, name: str, value: int, labels: Labels) -> None: ...

    def record(self, name: str, value: float, labels: Labels) -> None: ...

    def gauge(self, name: str, value: float, labels: Labels) -> None: ...
