"""What is at hand for answering a question."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.metrics import Metrics
from mesh.tracing import Tracer
from services.router.domain.fleet import Fleet
from services.router.domain.hedging import HedgeBudgets
from services.router.domain.routes import Routes
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Inquiry, Selected, Selection
from services.router.handlers.budgets import Budgeting
from services.router.handlers.drains import Drains
from services.router.handlers.question import Question, told
from services.router.ports import Journal, PriceSource, ProviderCalls


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
