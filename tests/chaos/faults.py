"""What providers do on a bad day, and what a caller must see of it: the failure table, as expectations.

A cell is a fault × streamed or whole × alone or with a healthy deployment beside it × how the answer is delivered. What
it must come to is worked out by `expected`: who is asked in which order, and what each of them shows. Everything else
(status, rows, breaker, spans) follows from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from mesh.errors import TABLE, Reason

RETRIES = 1
"""As configured: how often the last candidate is asked again."""
HOLD = 600
"""As configured, in seconds: how long a breaker stays open, and counts."""
LONGEST_BACKOFF = 1.25
"""Seconds between a first try and a second."""
LIMITS = {"headers": 0.8, "first_token": 0.8, "gap": 0.8, "total": 2.5}
"""Seconds, for those who run into a limit. All others have their time, so that a busy machine is no fault."""


class Provider(StrEnum):
    """Whom the faulty deployment belongs to."""

    UPSTREAM = "upstream"
    """The sim, called without a credential, shared by all cells."""
    PAID = "paid"
    """The sim, called with a credential, of one cell alone: a credential's breaker is its provider's."""
    NOBODY = "nobody"
    """Of one cell alone. Nobody listens there."""


class Delivery(StrEnum):
    """How a streamed answer is delivered."""

    PLAIN = "plain"
    ASSURED = "assured"
    """Held back until it is whole."""
    PREFILL = "prefill"
    """As it comes, by deployments that go on from what was said."""


class Stands(StrEnum):
    """How a deployment stands afterwards."""

    READY = "READY"
    OPEN = "OPEN"
    EITHER = ""
    """It was left alone for a moment that may be over."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a fault is to the router.

    `reason` is what an attempt fails with; None: it does not, for the answer is all there. `again`: the same deployment
    is asked once more, `elsewhere`: another one is. `counts`: each try is a failure for the breaker. `heard`: something
    of the provider arrived, so that the row is settled. `limit` is the one of `LIMITS` that each try runs into.
    `stands` is how the deployment stands after it. `hold` is the Retry-After that it sends, in seconds.
    """

    reason: Reason | None
    again: bool = False
    elsewhere: bool = True
    counts: bool = True
    heard: bool = True
    limit: str = ""
    stands: Stands = Stands.READY
    hold: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by the sim's name for it; `whole` where it is another thing to a whole answer than to a stream.

    `after_content`: a stream shows it when content has been delivered, so that it can only be continued. `all_said`:
    only the end is missing then. `passes`: the second call is answered.
    """

    model: str
    stream: Shown
    whole: Shown | None = None
    after_content: bool = False
    all_said: bool = False
    passes: bool = False
    provider: Provider = Provider.UPSTREAM

    def __str__(self) -> str:
        return self.model if self.provider is Provider.UPSTREAM else f"{self.model} ({self.provider})"

    @property
    def kind(self) -> str:
        return self.model.partition(":")[0]

    def passing(self) -> Fault:
        """The same for the first call alone."""
        return replace(self, model=f"{self.model}{',' if ':' in self.model else ':'}fail=1", passes=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One question. `several`: beside the faulty deployment, there is a healthy one."""

    number: int
    fault: Fault
    streamed: bool
    several: bool
    delivery: Delivery = Delivery.PLAIN

    def __str__(self) -> str:
        how = "streamed" if self.streamed else "whole"
        delivered = "" if self.delivery is Delivery.PLAIN else f", {self.delivery}"
        return f"{self.fault}, {how}, {'several' if self.several else 'alone'}{delivered}"

    @property
    def name(self) -> str:
        """What the client asks for; also its request's id."""
        return f"cell-{self.number:03}"

    @property
    def shown(self) -> Shown:
        fault = self.fault
        return fault.stream if self.streamed or fault.whole is None else fault.whole

    @property
    def provider(self) -> str:
        shared = self.fault.provider is Provider.UPSTREAM
        return self.fault.provider.value if shared else f"{self.fault.provider}-{self.name}"

    @property
    def model(self) -> str:
        """The faulty deployment's, which no other cell shares: its breaker is its own."""
        return f"{self.fault.model}{',' if ':' in self.fault.model else ':'}key={self.name}"

    @property
    def healthy_model(self) -> str:
        return f"text:key={self.name}"

    @property
    def faulty(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def healthy(self) -> str:
        return f"{Provider.UPSTREAM.value}/{self.healthy_model}"

    @property
    def mid_stream(self) -> bool:
        """Whether the client has been given part of the answer when the fault shows."""
        return self.streamed and self.fault.after_content and self.delivery is not Delivery.ASSURED


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt: on which deployment, why it failed (None: it did not), whether it goes on with a broken answer."""

    deployment: str
    reason: Reason | None = None
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What a cell must come to."""

    tries: tuple[Try, ...]
    """In order. The last one's reason is the client's."""
    continued: tuple[str, ...]
    before_content: int
    """Attempts until the client is given anything; 0: that is an error."""
    failures: int
    calls: int
    stands: Stands
    """Of the faulty deployment: its breaker's counts, and whether it is asked."""
    seconds: float
    """That it takes at most, on a machine with nothing else to do."""

    @property
    def reason(self) -> Reason | None:
        return self.tries[-1].reason

    @property
    def status(self) -> int:
        """HTTP's."""
        return 200 if self.reason is None or self.before_content else TABLE[self.reason].http_status


def expected(cell: Cell) -> Expected:
    """By the table: the faulty deployment, once more where that may help, then the healthy one."""
    fault, shown, midway = cell.fault, cell.shown, cell.mid_stream
    tries = [Try(cell.faulty, shown.reason)]
    if shown.again and (not midway or cell.delivery is Delivery.PREFILL) and not (shown.hold and cell.several):
        tries += [Try(cell.faulty, None if fault.passes else shown.reason, continues=midway)] * RETRIES
    if tries[-1].reason is not None and cell.several and shown.elsewhere:
        tries.append(Try(cell.healthy, continues=midway))
    failed = sum(each.deployment == cell.faulty and each.reason is not None for each in tries)
    answered = tries[-1].reason is None
    way = "prefill" if cell.delivery is Delivery.PREFILL else "splice"
    failures, calls, stands = _held_against(cell, tries, failed)
    return Expected(
        tries=tuple(tries),
        continued=(way,) * (len(tries) - 1) if midway and answered else (),
        before_content=1 if midway else len(tries) if answered else 0,
        failures=failures,
        calls=calls,
        stands=stands,
        seconds=failed * LIMITS.get(shown.limit, 0.0) + (len(tries) - 1) * LONGEST_BACKOFF,
    )


def _held_against(cell: Cell, tries: list[Try], failed: int) -> tuple[int, int, Stands]:
    """Failures and calls as the faulty deployment's breaker counts them, and how it stands."""
    shown, answers = cell.shown, tries[-1].reason is None and tries[-1].deployment == cell.faulty
    failures = failed if shown.counts else 0
    return failures, failures + answers, Stands.READY if shown.hold and answers else shown.stands


_FAILED = Shown(Reason.UPSTREAM_FAILED, again=True)
_CUT = Shown(Reason.UPSTREAM_CUT, again=True)
_MALFORMED = Shown(Reason.UPSTREAM_MALFORMED, again=True)
_BUSY = Shown(Reason.UPSTREAM_RATE_LIMITED, again=True)
_UNREACHABLE = Shown(Reason.UPSTREAM_UNREACHABLE, again=True, heard=False)
_UNHEARD = Shown(Reason.UPSTREAM_SILENT, heard=False, limit="headers")
_SILENT = Shown(Reason.UPSTREAM_SILENT, limit="first_token")
_STALLED = Shown(Reason.UPSTREAM_SILENT, limit="gap")
_TOO_SLOW = Shown(Reason.DEADLINE_EXCEEDED, limit="total")
_NEVER = Shown(Reason.DEADLINE_EXCEEDED, limit="total", heard=False)
"""A whole answer may be silent for as long as a call may take (ADR 6)."""
_REJECTED = Shown(Reason.UPSTREAM_REJECTED, elsewhere=False, counts=False)
_REFUSED = Shown(Reason.UPSTREAM_CREDENTIALS, counts=False, stands=Stands.OPEN)
_ANSWERED = Shown(None)

FAULTS = (
    *(Fault(f"status-{status}", _REJECTED) for status in (400, 404, 409, 422)),
    *(Fault(f"status-{status}", _FAILED) for status in (302, 408, 500, 502, 503, 504, 529)),
    *(Fault(f"status-{status}", _REFUSED, provider=Provider.PAID) for status in (401, 402)),
    Fault("status-401", _REFUSED),
    Fault("status-403", Shown(Reason.UPSTREAM_FORBIDDEN, counts=False)),
    Fault("status-429", _BUSY),
    Fault("status-429:retry-after=60", replace(_BUSY, again=False, stands=Stands.OPEN)),
    Fault("status-429:retry-after=1", replace(_BUSY, hold=1.0, stands=Stands.EITHER)).passing(),
    Fault("status-503:retry-after=60", replace(_FAILED, again=False, stands=Stands.OPEN)),
    Fault("flaky", _FAILED, passes=True),
    Fault("model-not-found", Shown(Reason.UPSTREAM_MODEL_NOT_FOUND, counts=False)),
    Fault("context-length", Shown(Reason.CONTEXT_LENGTH_EXCEEDED, counts=False)),
    Fault("content-filter", Shown(Reason.CONTENT_FILTERED, elsewhere=False, counts=False)),
    Fault("nobody", _UNREACHABLE, provider=Provider.NOBODY),
    Fault("reset", _UNREACHABLE),
    Fault("reset", _UNREACHABLE).passing(),
    Fault("silence", _UNHEARD, _NEVER),
    Fault("silence-after-headers", _SILENT, _NEVER),
    Fault("silence-after-role", _SILENT, _NEVER),
    Fault("pings", _SILENT, _NEVER),
    Fault("slow-start", _SILENT, _ANSWERED),
    Fault("slow", _TOO_SLOW, _NEVER, after_content=True),
    Fault("cut:after=0", _CUT),
    Fault("cut:after=5", _CUT, after_content=True),
    Fault("cut:after=20", _CUT, after_content=True, all_said=True),
    Fault("stall:after=0", _SILENT, _STALLED),
    Fault("stall:after=5", _STALLED, after_content=True),
    Fault("stall:after=20", _STALLED, after_content=True, all_said=True),
    Fault("malformed:after=0", _MALFORMED),
    Fault("malformed:after=5", _MALFORMED, after_content=True),
    Fault("malformed:after=20", _MALFORMED, after_content=True, all_said=True),
    Fault("error-event:after=0", _FAILED),
    Fault("error-event:after=5", _FAILED, after_content=True),
    Fault("error-event:after=20", _FAILED, after_content=True, all_said=True),
    Fault("error-body", _FAILED),
    Fault("no-done", _ANSWERED),
    Fault("no-usage", _ANSWERED),
)

NO_FAULTS = frozenset({"sim", "text", "echo", "reasoning", "refusal"})
"""Kinds of the sim that answer well."""


def _cells() -> Iterator[tuple[Fault, bool, bool, Delivery]]:
    for several in (False, True):
        for fault in FAULTS:
            yield fault, False, several, Delivery.PLAIN
            yield fault, True, several, Delivery.PLAIN
            if not fault.after_content:
                continue
            variants = (fault, fault.passing()) if fault.stream.again else (fault,)
            for variant in variants:
                yield variant, True, several, Delivery.ASSURED
                # Who has said all and then breaks off again has nothing left to break off in.
                if variant.passes or not (fault.all_said and fault.stream.again):
                    yield variant, True, several, Delivery.PREFILL


CELLS = tuple(Cell(number, *cell) for number, cell in enumerate(_cells()))
