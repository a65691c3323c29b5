"""What a question is, and what is at hand for answering it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mesh.clock import Clock
from mesh.errors import FieldViolation, TollwayError
from mesh.metrics import Metrics
from mesh.tracing import AttributeValue, TraceContext, Tracer
from services.router.domain import genai
from services.router.domain.fingerprint import fingerprint
from services.router.domain.fleet import Fleet
from services.router.domain.hedging import HedgeBudgets
from services.router.domain.kinds import CHAT, Kind
from services.router.domain.routes import Routes
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Inquiry, Selected, Selection
from services.router.domain.validation import violations
from services.router.handlers.budgets import Budgeting
from services.router.handlers.caller import FromCaller
from services.router.handlers.drains import Drains
from services.router.ports import Journal, PriceSource, ProviderCalls
from tollway.chat.v1.chat_pb2 import ChatRequest, Usage
from tollway.router.v1.router_pb2 import Preferences


@dataclass(slots=True)
class Question(FromCaller):
    """A chat request with what the router knows about it; of what is no conversation, one that weighs the same
    (`domain.likeness`), and beside it what is asked.

    `deadline` is on the clock's monotonic time, None where the client set none; `parent` is the client's place in its
    trace. `on_usage` is told what each attempt took, if that is known, when it is settled: that may be after the
    question was answered.
    """

    kind: ClassVar[Kind] = CHAT

    chat: ChatRequest
    request_id: str
    tags: Sequence[str]
    parent: TraceContext | None
    deadline: float | None
    preferences: Preferences = field(default_factory=Preferences)
    on_usage: Callable[[Usage], None] | None = field(default=None, repr=False)

    def about(self) -> dict[str, str]:
        """What the metadata of an error says that came before any attempt."""
        about = {"request_id": self.request_id, "attempts": "0"}
        if self.parent is not None:
            about["trace_id"] = self.parent.trace_id
        return about

    @property
    def operation(self) -> str:
        """What it is called in traces."""
        return self.kind.operation

    def violations(self) -> tuple[FieldViolation, ...]:
        """Everything that is wrong with it; empty where it can be asked."""
        return violations(self.chat, self.request_id, self.tags, self.preferences)

    def fingerprint(self) -> bytes:
        """The same for the same question, and for no other."""
        return fingerprint(self.chat, self.preferences.models)

    def told(self, provider: str, *, streamed: bool) -> Mapping[str, AttributeValue]:
        """What the span of its operation says of it."""
        return genai.request_attributes(self.chat, provider, streamed=streamed)


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything an operation works with. `budgeting`: None where nobody keeps budgets."""

    routes: Routes
    schedule: Schedule
    providers: ProviderCalls
    journal: Journal
    prices: PriceSource
    drains: Drains
    fleet: Fleet
    clock: Clock
    tracer: Tracer
    metrics: Metrics
    selection: Selection
    hedges: HedgeBudgets = field(default_factory=HedgeBudgets)
    budgeting: Budgeting | None = None


def select(selection: Selection, clock: Clock, question: Question, *, streamed: bool) -> Selected:
    """Whom the question goes to. Raises TollwayError MODEL_NOT_FOUND for a name that nobody stands for."""
    inquiry = Inquiry(
        question.chat,
        question.tags,
        question.preferences,
        question.principal,
        streamed,
        clock.monotonic(),
        clock.time(),
    )
    try:
        return selection.select(inquiry)
    except TollwayError as unknown:
        raise told(unknown, question.about()) from None


def told(failure: TollwayError, about: Mapping[str, str]) -> TollwayError:
    """The same failure, which also says what it is about."""
    return replace(failure, metadata={**about, **failure.metadata})
