"""Telling where a question would go, by the very selection that a question goes through."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.mediator import Query
from services.router.domain.fleet import Shut
from services.router.domain.kinds import EXPLAINED
from services.router.domain.needs import Needs
from services.router.domain.routes import Candidate
from services.router.domain.selection import Selection
from services.router.handlers.desk import select
from services.router.handlers.question import Question
from tollway.router.v1.router_pb2 import ExplainRouteResponse


@dataclass(slots=True)
class ExplainRoute(Question, Query[ExplainRouteResponse]):
    """Asks where a question would go that is not asked. `streamed`: if it were to be answered as it arrives."""

    kind = EXPLAINED

    streamed: bool = False


async def explain_route(
    query: ExplainRoute, *, selection: Selection, clock: Clock, longest_wait: float
) -> ExplainRouteResponse:
    """Who would be asked in which order, and why nobody else. Raises TollwayError MODEL_NOT_FOUND.

    Where all are left alone, and one of them for no more than `longest_wait` seconds, a question would wait for that.
    """
    selected = select(selection, clock, query, streamed=query.streamed)
    needs = Needs(selected.chat)
    response = ExplainRouteResponse(
        route=selected.plan.route.name,
        strategy=selected.plan.route.strategy,
        refusal="" if selected.refusal is None else selected.refusal.message,
        needs=needs.features,
        input_tokens=needs.input_tokens,
    )
    left_alone: list[tuple[Candidate, Shut]] = []
    for candidate in selected.plan.candidates:
        standing = selection.fleet.seen(candidate.name)
        shut = None if standing is None else standing.closed_to(clock.monotonic())
        if shut is not None:
            left_alone.append((candidate, shut))
            continue
        response.candidates.add(
            deployment=candidate.name, stands_for=candidate.stands_for, reason=selected.why(candidate)
        )
    if left_alone and not response.candidates and not response.refusal:
        first = min(left_alone, key=lambda each: each[1].wait)
        candidate, shut = first
        if shut.wait <= longest_wait:
            left_alone.remove(first)
            response.candidates.add(
                deployment=candidate.name,
                stands_for=candidate.stands_for,
                reason=f"{selected.why(candidate)}; it would be waited for: it {shut.reason}",
            )
    for candidate, shut in left_alone:
        response.skipped.add(deployment=candidate.name, stands_for=candidate.stands_for, reason=shut.reason)
    if not response.candidates and not response.refusal:
        response.refusal = "No deployment can be asked now."
    for skip in selected.skipped:
        response.skipped.add(deployment=skip.candidate.name, stands_for=skip.candidate.stands_for, reason=skip.why)
    for outcome in selected.outcomes:
        response.rules.add(name=outcome.rule, matched=outcome.matched, error=outcome.error, effect=outcome.effect)
    return response
