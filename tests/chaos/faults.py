"""What providers do on a bad day, and what a caller must see of it: the failure table of the design, as expectations.

A cell is a fault × streamed or whole × alone or with a healthy deployment beside it. What is expected follows from the
table by `expected`; where streaming makes the difference, the fault says so.
"""

from __future__ import annotations

from dataclasses import dataclass

RETRIES = 1
"""As configured: how often the last candidate is asked again."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a fault is to the router.

    `code` is the error's for the client where nobody else answers, empty where it answers after all. `again`: the same
    deployment is asked once more. `elsewhere`: another one is asked. `counts`: each try is a failure for the breaker.
    `heard`: the provider's answer arrived, so that the row is settled.
    """

    code: str = ""
    again: bool = False
    elsewhere: bool = True
    counts: bool = True
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by the sim's name for it; `whole` where it is another thing to a whole answer than to a stream.

    `after_content`: a stream shows it when content has been delivered, so that it can only be continued.
    """

    model: str
    stream: Shown
    whole: Shown | None = None
    after_content: bool = False
    provider: str = "upstream"

    def shown(self, streamed: bool) -> Shown:
        return self.stream if streamed or self.whole is None else self.whole


@dataclass(frozen=True, slots=True)
class Expected:
    """What a cell must come to: the error's code (empty: the whole answer), attempts in all, and on the faulty one."""

    code: str
    attempts: int
    on_faulty: int
    failures: int
    continued: bool


def expected(fault: Fault, streamed: bool, several: bool) -> Expected:
    """By the table: who is asked how often, and what comes of it."""
    shown = fault.shown(streamed)
    if not shown.code:
        on_faulty = 1 + (1 if shown.again else 0)
        return Expected("", on_faulty, on_faulty, on_faulty - 1, continued=False)
    mid_stream = streamed and fault.after_content
    on_faulty = 1 if mid_stream else 1 + (RETRIES if shown.again else 0)
    answered = several and shown.elsewhere
    return Expected(
        code="" if answered else shown.code,
        attempts=on_faulty + (1 if answered else 0),
        on_faulty=on_faulty,
        failures=on_faulty if shown.counts else 0,
        continued=answered and mid_stream,
    )


_FAILED = Shown("upstream_failed", again=True)
_CUT = Shown("upstream_cut", again=True)
_MALFORMED = Shown("upstream_malformed", again=True)
_SILENT = Shown("upstream_silent")
_UNHEARD = Shown("upstream_silent", heard=False)
_REJECTED = Shown("upstream_rejected", elsewhere=False, counts=False)
_CREDENTIALS = Shown("upstream_credentials")

FAULTS = (
    *(Fault(f"status-{status}", _FAILED) for status in (500, 502, 503, 504, 529)),
    Fault("status-429", Shown("upstream_rate_limited", again=True)),
    Fault("status-429:retry-after=60", Shown("upstream_rate_limited")),
    Fault("status-400", _REJECTED),
    Fault("status-422", _REJECTED),
    Fault("model-not-found", Shown("model_not_found", counts=False)),
    Fault("status-401", _CREDENTIALS, provider="unpaid"),
    Fault("status-402", _CREDENTIALS, provider="unpaid"),
    Fault("context-length", Shown("context_length_exceeded", counts=False)),
    Fault("content-filter", Shown("content_filter", elsewhere=False, counts=False)),
    Fault("silence", _UNHEARD),
    Fault("silence-after-headers", _SILENT),
    Fault("silence-after-role", _SILENT),
    Fault("pings", _SILENT),
    Fault("reset", Shown("upstream_unreachable", again=True, heard=False)),
    Fault("cut:after=0", _CUT),
    Fault("cut:after=5", _CUT, after_content=True),
    Fault("stall:after=5", _SILENT, after_content=True),
    Fault("malformed:after=0", _MALFORMED),
    Fault("malformed:after=5", _MALFORMED, after_content=True),
    Fault("error-event:after=0", _FAILED),
    Fault("error-event:after=5", _FAILED, after_content=True),
    Fault("error-body", _FAILED),
    Fault("no-done", Shown()),
    Fault("no-usage", Shown()),
    Fault("flaky:fail=1", Shown(again=True)),
)
