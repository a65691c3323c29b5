"""Who is asked, in which order, and why nobody else: rules, then who can answer at all, then each name's strategy.

Most questions meet no rule, no capability and no strategy but the order of the configuration. For those the plan is
one that was made before, and all that is looked at is whether somebody is offline or out of quota.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from math import ceil

from mesh.errors import Reason, TollwayError
from services.router.domain.circumstances import Chance, Circumstances, FindPrice
from services.router.domain.eligibility import is_too_small, lacking, may_be_too_small
from services.router.domain.fleet import Fleet
from services.router.domain.needs import Needs
from services.router.domain.principal import Principal
from services.router.domain.rendezvous import ranked
from services.router.domain.routes import Candidate, Plan, Pool, Routes, UnknownName
from services.router.domain.rules import Asked, Filter, Outcome, Rule, failed, rule_on
from services.router.domain.strategies import STRATEGIES
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.router.v1.router_pb2 import Preferences

_SHORTEST_WAIT = 1
"""The shortest Retry-After told, in seconds."""
_MOST_TOLD = 8
"""Candidates whose reasons are told apart, for programs; the message for people names them all."""


@dataclass(slots=True)  # every question makes one, and a frozen one takes three times as long
class Inquiry:
    """A question, as far as its route depends on it. Times are now, on the monotonic clock and in Unix time."""

    chat: ChatRequest
    tags: Sequence[str]
    preferences: Preferences
    principal: Principal
    streamed: bool
    now: float
    unix: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that is not asked. `wait` is how many seconds that lasts, None where time does not help."""

    candidate: Candidate
    why: str
    reason: Reason
    wait: float | None = None


@dataclass(slots=True)
class Selected:
    """The plan for a question, and how it came about.

    `chat` is what is asked: the question's own message, or a copy that rules have changed. `refusal` is why nobody is
    asked: the plan has no candidates then. `why` tells the reason for a candidate's place.
    """

    plan: Plan
    chat: ChatRequest
    skipped: tuple[Skipped, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    refusal: TollwayError | None = None
    why: Callable[[Candidate], str] = lambda candidate: ""


class Selection:
    """Makes plans. `chance` is what strategies draw from, `find_price` tells prices."""

    def __init__(
        self, routes: Routes, rules: Sequence[Rule], fleet: Fleet, chance: Chance, find_price: FindPrice
    ) -> None:
        self._routes, self._rules, self.fleet = routes, tuple(rules), fleet
        self._chance, self._find_price = chance, find_price

    def select(self, inquiry: Inquiry) -> Selected:
        """Whom the question goes to. Raises TollwayError MODEL_NOT_FOUND for a name that nobody stands for."""
        chat, models = inquiry.chat, inquiry.preferences.models
        names = (chat.model, *models) if models else (chat.model,)
        if self._rules:
            return self._by_rules(inquiry, tuple(dict.fromkeys(names)))
        plan = self._planned(chat.model, names)
        if plan.plain and not (self.fleet.outages or self._counts_quota(plan)):
            return Selected(plan, chat, why=partial(self._why_there, plan, inquiry))
        return self._among(plan, inquiry, chat, Needs(chat))

    def _counts_quota(self, plan: Plan) -> bool:
        """Whether anybody could be asked after everybody else for what is left of their quota."""
        if len(plan.candidates) == 1:
            return False
        standings = (self.fleet.seen(candidate.name) for candidate in plan.candidates)
        return any(standing is not None and standing.quota.known for standing in standings)

    def _why_there(self, plan: Plan, inquiry: Inquiry, candidate: Candidate) -> str:
        return _Why(plan.pools, {}, {}, self._around(inquiry, inquiry.chat, Needs(inquiry.chat)))(candidate)

    def _by_rules(self, inquiry: Inquiry, names: tuple[str, ...]) -> Selected:
        ruling = rule_on(self._rules, Asked(inquiry.chat, names, inquiry.tags, inquiry.principal, inquiry.unix))
        plan = self._planned(inquiry.chat.model, ruling.names)
        if ruling.denied_by:
            refusal = TollwayError(Reason.DENIED_BY_RULE, ruling.denial, {"rule": ruling.denied_by})
            return Selected(replace(plan, candidates=(), pools=()), ruling.chat, (), ruling.outcomes, refusal)
        plan, skipped, blame = _filtered(plan, ruling.filters)
        if blame is not None:
            error = f"{blame.effect}, and nobody who could answer is left"
            refusal = TollwayError(Reason.DENIED_BY_RULE, f"The rule {blame.rule!r} {error}.", {"rule": blame.rule})
            return Selected(plan, ruling.chat, skipped, failed(ruling.outcomes, blame.rule, error), refusal)
        selected = self._among(plan, inquiry, ruling.chat, ruling.needs)
        return replace(selected, skipped=(*skipped, *selected.skipped), outcomes=ruling.outcomes)

    def _planned(self, requested: str, names: tuple[str, ...]) -> Plan:
        try:
            return self._routes.plan_for(requested, names)
        except UnknownName as unknown:
            raise TollwayError(
                Reason.MODEL_NOT_FOUND,
                f"The model {unknown.name!r} does not exist here. "
                "GET /v1/models (RouterService.ListModels) lists those that do.",
            ) from None

    def _among(self, plan: Plan, inquiry: Inquiry, chat: ChatRequest, needs: Needs) -> Selected:
        """The plan with those left out that cannot answer, and the others in the order of their strategies."""
        around = self._around(inquiry, chat, needs)
        skipped = tuple(
            skip for pool in plan.pools for each in pool.candidates if (skip := self._barred(each, around)) is not None
        )
        late = self._late(plan, around)
        sessions = {pool.name: key for pool in plan.pools if (key := _session(pool, inquiry))}
        if not (skipped or late or sessions) and plan.in_order:
            return Selected(plan, chat, why=_Why(plan.pools, late, sessions, around))
        out = {skip.candidate.name for skip in skipped}
        pools = _parts(plan.pools, lambda candidate: candidate.name not in out)
        if not pools:
            refusal = _refusal(skipped, needs)
            return Selected(replace(plan, candidates=(), pools=()), chat, skipped, refusal=refusal)
        ready = _parts(pools, lambda candidate: candidate.name not in late)
        rest = _parts(pools, lambda candidate: candidate.name in late)
        candidates = tuple(
            candidate for pool in (*ready, *rest) for candidate in _ordered(pool, sessions.get(pool.name), around)
        )
        why = _Why(pools, late, sessions, around)
        return Selected(replace(plan, candidates=candidates, pools=pools), chat, skipped, why=why)

    def _around(self, inquiry: Inquiry, chat: ChatRequest, needs: Needs) -> Circumstances:
        return Circumstances(
            chat, needs, inquiry.streamed, self.fleet, inquiry.now, inquiry.unix, self._chance, self._find_price
        )

    def _barred(self, candidate: Candidate, around: Circumstances) -> Skipped | None:
        """Why the candidate cannot answer."""
        deployment = candidate.deployment
        if deployment.can is not None and (features := lacking(deployment, around.needs)):
            return Skipped(candidate, f"cannot do {', '.join(features)}", Reason.UNSUPPORTED_FEATURE)
        if deployment.context is not None and is_too_small(deployment, around.needs):
            why = f"its window of {deployment.context:,} tokens is too small"
            return Skipped(candidate, why, Reason.CONTEXT_LENGTH_EXCEEDED)
        outages = self.fleet.outages
        if outages and (outage := outages.of(deployment.provider)) is not None:
            return Skipped(candidate, "its provider is offline", Reason.NO_DEPLOYMENT_READY, outage.wait(around.now))
        return None

    def _late(self, plan: Plan, around: Circumstances) -> dict[str, str]:
        """Who is asked after everybody else, and why, by name. Nobody, where there is only one."""
        late: dict[str, str] = {}
        if len(plan.candidates) == 1:
            return late
        for candidate in plan.candidates:
            if candidate.deployment.context is not None and may_be_too_small(candidate.deployment, around.needs):
                late[candidate.name] = f"its window of {candidate.deployment.context:,} tokens may be too small"
                continue
            standing = self.fleet.seen(candidate.name)
            if standing is not None and standing.quota.known:
                shortage = standing.quota.shortage(around.needs, standing.begun, around.now)
                if shortage is not None:
                    late[candidate.name] = shortage.why
        return late


class _Why:
    """Tells the reason for a candidate's place, when somebody wants to know."""

    def __init__(
        self, pools: Sequence[Pool], late: dict[str, str], sessions: dict[str, bytes], around: Circumstances
    ) -> None:
        self._pools = pools
        self._late, self._sessions, self._around = late, sessions, around

    def __call__(self, candidate: Candidate) -> str:
        pool = next(pool for pool in self._pools if candidate in pool.candidates)
        if candidate.name in self._late:
            return f"last, because {self._late[candidate.name]}"
        session = self._sessions.get(pool.name)
        others = [each for each in pool.candidates if each.name not in self._late]
        if session is not None and ranked(session, others)[0] is candidate:
            return "its session's deployment"
        if len(others) == 1:
            return "the only one"
        return STRATEGIES[pool.route.strategy].why(candidate, replace(pool, candidates=tuple(others)), self._around)


def _parts(pools: Iterable[Pool], wanted: Callable[[Candidate], bool]) -> tuple[Pool, ...]:
    """The pools with their wanted candidates alone, as far as there are any."""
    parts = (replace(pool, candidates=tuple(filter(wanted, pool.candidates))) for pool in pools)
    return tuple(pool for pool in parts if pool.candidates)


def _ordered(pool: Pool, session: bytes | None, around: Circumstances) -> list[Candidate]:
    if len(pool.candidates) == 1:
        return list(pool.candidates)
    order = STRATEGIES[pool.route.strategy].order(pool, around)
    if session is None:
        return order
    kept = ranked(session, pool.candidates)[0]
    return [kept, *(candidate for candidate in order if candidate is not kept)]


def _session(pool: Pool, inquiry: Inquiry) -> bytes | None:
    """By what the question keeps to a deployment of the pool; None where it does not."""
    sticky = pool.route.sticky
    if sticky == "none" or len(pool.candidates) == 1:
        return None
    session = inquiry.principal.key if sticky == "key" else inquiry.preferences.session
    if not session:
        return None
    return blake2b(f"{inquiry.principal.tenant}\0{session}".encode(), digest_size=16).digest()


def _let_through(by: Filter, candidate: Candidate) -> bool:
    return by.lets(candidate.name)


def _filtered(plan: Plan, filters: Iterable[Filter]) -> tuple[Plan, tuple[Skipped, ...], Filter | None]:
    """The plan with those alone that all rules let through, the others, and the rule that left nobody."""
    skipped: list[Skipped] = []
    pools = plan.pools
    for each in filters:
        skipped += [
            Skipped(candidate, f"the rule {each.rule!r} {each.effect}", Reason.DENIED_BY_RULE)
            for pool in pools
            for candidate in pool.candidates
            if not each.lets(candidate.name)
        ]
        pools = _parts(pools, partial(_let_through, each))
        if not pools:
            return replace(plan, candidates=(), pools=()), tuple(skipped), each
    if not skipped:
        return plan, (), None
    candidates = tuple(candidate for pool in pools for candidate in pool.candidates)
    return replace(plan, candidates=candidates, pools=pools), tuple(skipped), None


def _refusal(skipped: Sequence[Skipped], needs: Needs) -> TollwayError:
    """What the client is told where nobody can answer; the best of the candidates' reasons decides."""
    each = "; ".join(f"{skip.candidate.name}: {skip.why}" for skip in skipped)
    told = {
        f"candidate_{number}": f"{skip.candidate.name}: {skip.why}"
        for number, skip in enumerate(skipped[:_MOST_TOLD], 1)
    }
    waits = [skip.wait for skip in skipped if skip.wait is not None]
    if waits:
        wait = float(max(ceil(min(waits)), _SHORTEST_WAIT))
        return TollwayError(Reason.NO_DEPLOYMENT_READY, f"No deployment can be asked now. {each}", told, wait)
    if any(skip.reason is Reason.CONTEXT_LENGTH_EXCEEDED for skip in skipped):
        size = f"about {needs.input_tokens:,} tokens"
        if needs.output_tokens:
            size += f", with {needs.output_tokens:,} asked for as the answer,"
        message = f"The question is too long: {size} fit into no deployment's window. {each}"
        return TollwayError(Reason.CONTEXT_LENGTH_EXCEEDED, message, told)
    missing = ", ".join(needs.features)
    return TollwayError(
        Reason.UNSUPPORTED_FEATURE, f"No deployment can do all that the question needs ({missing}). {each}", told
    )
