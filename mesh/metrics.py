"""What is counted, with no telemetry library in sight."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

Labels = Mapping[str, str | int | bool]


class LabelSet(dict[str, str | int | bool]):
    """Labels that are made once and used often: hashed once as well, and not to be changed."""

    __slots__ = ("_hash",)

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self._hash = hash(frozenset(labels.items()))

    def __hash__(self) -> int:  # type: ignore[override]  # a dictionary has none
        return self._hash


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
