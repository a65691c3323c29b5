"""What is counted, with no telemetry library in sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Labels = Mapping[str, str | int | bool]


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
