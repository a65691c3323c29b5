"""What was measured, as bars that hold or not, as a Markdown table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

BARE, ONE, ALL_ON, FOUR = "bare aiohttp proxy", "one process", "one process, keys and limits", "four processes"
DIALECTS = ("JSON", "SSE")


@dataclass(frozen=True, slots=True)
class Round:
    """One short load on one system: CPU µs a request, requests/s, latency in ms."""

    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resident MB after a first request and after all loads; seconds from start to first answer."""

    idle_mb: float
    loaded_mb: float
    first_answer_s: float


@dataclass(frozen=True, slots=True)
class Results:
    """Everything measured. Rounds by system and dialect, in the order they were run, the same number of each."""

    rounds: Mapping[str, Mapping[str, Sequence[Round]]]
    footprints: Mapping[str, Footprint]
    mediator_us: float

    def ratio(self, system: str, dialect: str) -> float:
        """CPU per request over the bare proxy's. Each round is compared with the bare round beside it."""
        pairs = zip(self.rounds[system][dialect], self.rounds[BARE][dialect], strict=True)
        return median(ours.cpu_us / bare.cpu_us for ours, bare in pairs)


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise, and what was measured."""

    promise: str
    limit: float
    measured: float
    unit: str

    @property
    def held(self) -> bool:
        return self.measured <= self.limit

    def __str__(self) -> str:
        mark = "held" if self.held else "MISSED"
        return f"{mark:6} {self.promise}: {self.measured:.2f} {self.unit} of at most {self.limit:g}"


def bars(results: Results) -> list[Bar]:
    """What the project promises."""
    one = results.footprints[ONE]
    return [
        *(Bar(f"{ONE}, {d}, CPU over bare", 3.0, results.ratio(ONE, d), "×") for d in DIALECTS),
        *(Bar(f"{ALL_ON}, {d}, CPU over bare", 3.5, results.ratio(ALL_ON, d), "×") for d in DIALECTS),
        *(Bar(f"{FOUR}, {d}, CPU over bare", 12.0, results.ratio(FOUR, d), "×") for d in DIALECTS),
        Bar(f"{ONE}, idle memory", 120.0, one.idle_mb, "MB"),
        Bar(f"{ONE}, first answer after start", 3.0, one.first_answer_s, "s"),
        Bar("a mediator send through three behaviors", 5.0, results.mediator_us, "µs"),
    ]


def table(results: Results) -> str:
    """The Markdown tables: speed by system and dialect (medians over the rounds), then footprint."""
    speed = [
        "| system | answers | CPU µs a request | × bare | requests/s | p50 ms | p99 ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for system, dialects in results.rounds.items():
        for dialect, rounds in dialects.items():
            cpu, rate, p50, p99 = (
                median(getattr(r, figure) for r in rounds) for figure in ("cpu_us", "rate", "p50_ms", "p99_ms")
            )
            ratio = results.ratio(system, dialect)
            speed.append(f"| {system} | {dialect} | {cpu:,.0f} | {ratio:.2f} | {rate:,.0f} | {p50:.1f} | {p99:.1f} |")
    footprint = [
        "| system | memory idle, MB | after the load, MB | start to first answer, s |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {system} | {f.idle_mb:.0f} | {f.loaded_mb:.0f} | {f.first_answer_s:.2f} |"
            for system, f in results.footprints.items()
        ),
    ]
    mediator = f"A mediator send through three behaviors: {results.mediator_us:.2f} µs."
    return "\n".join([*speed, "", *footprint, "", mediator])
