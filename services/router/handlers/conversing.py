"""A conversation's operation: an answer that broke off is gone on with, and a second attempt may be made beside a slow
first one."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.errors import TollwayError
from mesh.tracing import AttributeValue
from services.router.domain.answer import Answer
from services.router.domain.assembled import Assembled
from services.router.domain.assured import Assured
from services.router.domain.continuation import Broken, Way, prefilled, way_on
from services.router.domain.fleet import Pass
from services.router.domain.hedging import patience
from services.router.domain.resumed import Prefilled, Spliced
from services.router.domain.routes import Candidate
from services.router.domain.schedule import remaining
from services.router.domain.verdict import Showed, broken_off, verdict
from services.router.handlers.attempt import CONTINUATIONS, AttemptRun, Turn
from services.router.handlers.charging import charged_now
from services.router.handlers.desk import Desk
from services.router.handlers.operation import Operation
from services.router.handlers.question import Question
from tollway.chat.v1.chat_pb2 import ChatChunk, Usage
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CONTINUATION, ATTEMPT_KIND_HEDGE
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL, Receipt


class Conversation(Operation):
    """A chat operation under way."""

    def __init__(self, desk: Desk, question: Question, *, streamed: bool) -> None:
        self._broken: Broken | None = None
        self._way: Way | None = None
        self._hedge: AttemptRun | None = None
        self._hedged = False
        super().__init__(desk, question, streamed=streamed)
        if (hedge := self._plan.route.hedge) is not None:
            desk.hedges.of(self._plan.route.name).note_question(hedge.budget)

    def _hears(self, question: Question, *, streamed: bool) -> bool:
        self._assembles = not streamed and self._account is not None and self._account.hears(question.chat)
        return streamed or self._assembles

    def _turn(self, passed: Pass) -> Turn:
        index, candidate, number = self._tried.index, self._candidate, self._attempts + 1
        chat, timed = self._question.chat, self._plan.route.hedge is not None
        if self._broken is None or self._way is None:
            return Turn(index, candidate, number, passed, chat, self._new_answer(), timed=timed)
        how, said = self._way.how, self._broken.said
        answer: Answer
        if how == CONTINUATION_PREFILL:
            chat, answer = prefilled(chat, said), Prefilled(said)
        else:
            answer = Spliced(said, chat.choice_count or 1)
        return Turn(index, candidate, number, passed, chat, answer, ATTEMPT_KIND_CONTINUATION, how)

    def _new_answer(self) -> Answer | None:
        if not self._streamed:
            return None
        preferences, choices = self._question.preferences, self._question.chat.choice_count or 1
        if self._assembles:
            return Assembled(choices)
        assured = preferences.assured if preferences.HasField("assured") else self._plan.route.assured
        return Assured(choices) if assured else Answer(choices)

    # -- going on with an answer that broke off -----------------------------------------------------------------------

    def _interrupted(self, answer: Answer, failure: TollwayError, left: float | None) -> None:
        """Keeps what has been delivered, and what it took."""
        attempt = self.attempt
        said, showed = answer.delivered(), Showed(attempt.candidate, failure)
        if self._broken is None:
            self._broken = Broken(said, showed)
        self._broken.said, self._broken.showed = said, showed
        self._broken.add(attempt.turn.how, attempt.row)

    def _goes_on(self, failure: TollwayError, left: float | None) -> bool:
        broken = self._broken
        if broken is None:
            return False
        if left is not None and left <= 0:
            raise self._told(verdict([Showed(self._candidate, failure)])) from failure
        way = None
        if broken.calls < self._plan.route.continuations:
            way = way_on(self._plan, self._tried, self._question.chat, broken.said, broken.showed.failure, self._wait)
        if way is None:
            raise self._told(broken_off(broken.showed, self._shown)) from failure
        broken.calls += 1
        self._way = way
        self._tried.resume(way.index)
        return True

    # -- a second attempt beside the first -----------------------------------------------------------------------------

    def hedge_after(self) -> float | None:
        """Seconds after which another attempt is made beside this one; None: none is."""
        hedge = self._plan.route.hedge
        if hedge is None or self._hedge is not None or self._broken is not None or not self._rivals():
            return None
        now, standing = self.clock.monotonic(), self._desk.fleet.standing
        return patience(
            hedge,
            (
                standing(candidate.name).waits[self._streamed].p95(now)
                for candidate in self._plan.candidates
                if candidate.stands_for == self._candidate.stands_for
            ),
        )

    def _rivals(self) -> list[tuple[int, Candidate]]:
        """Deployments of the same model that could be asked now."""
        name = self._candidate.stands_for
        return [
            (index, candidate)
            for index, candidate in remaining(self._plan, self._tried)
            if candidate.stands_for == name and not self._wait(candidate)
        ]

    async def open_hedge(self) -> AttemptRun | None:
        """A second call elsewhere, ready to leave; None where there is nobody, or no budget for it."""
        left, rivals = self._time_left(), self._rivals()
        if not rivals or (left is not None and left <= 0):
            return None
        if not self._desk.hedges.of(self._plan.route.name).take():
            return None
        index, candidate = rivals[0]
        passed = self._desk.fleet.standing(candidate.name).enter(self.clock.monotonic())
        if passed is None:
            return None
        number = self._attempts + 1
        turn = charged_now(self._desk, self._account, Turn(
            index, candidate, number, passed, self._question.chat, self._new_answer(), ATTEMPT_KIND_HEDGE, timed=True
        ))  # fmt: skip
        if turn is None:
            return None
        try:
            self._hedge = await self._open(turn)
        except TollwayError:
            return None  # it cannot be written down, so it is not made; the first attempt is under way all the same
        return self._hedge

    def pass_over(self, attempt: AttemptRun, failure: TollwayError) -> None:
        """One of two attempts failed; the other is waited for."""
        self._note(attempt, failure)
        self._tried.spent |= {attempt.turn.rank}

    def settle_on(self, attempt: AttemptRun) -> None:
        """Of two attempts, this is the one whose answer, or failure, counts."""
        self.attempt = attempt
        if attempt.turn.rank != self._tried.index:
            self._tried.move(attempt.turn.rank)

    # -- the answer ------------------------------------------------------------------------------------------------

    def held_back(self) -> Iterable[ChatChunk]:
        """What of a streamed answer that ended well waited for its end."""
        return self._answer().held

    def ending(self) -> ChatChunk:
        """The last chunk of a streamed answer that ended well."""
        ending = self._answer().ending()
        if self._broken is not None and ending.HasField("usage"):
            ending.usage.CopyFrom(self._broken.usage_with(self.attempt.turn.how, self.attempt.row))
        return ending

    def _answer(self) -> Answer:
        assert self.attempt.answer is not None
        return self.attempt.answer

    def _complete(self, receipt: Receipt) -> None:
        if self._broken is not None and self.attempt.turn.how is not None:
            receipt.continuations.extend((*self._broken.ways, self.attempt.turn.how))

    def _receipt(self) -> Receipt:
        # Whatever goes on with its answer later: it was the second attempt that answered.
        self._hedged = self._hedged or (self._hedge is not None and self.attempt is self._hedge)
        receipt = super()._receipt()
        receipt.hedged = self._hedged
        return receipt

    def _answered(self, attempt: AttemptRun, receipt: Receipt) -> dict[str, AttributeValue]:
        attributes = super()._answered(attempt, receipt)
        if receipt.continuations:
            attributes["tollway.continued"] = tuple(CONTINUATIONS[how] for how in receipt.continuations)
        if receipt.hedged:
            attributes["tollway.hedged"] = True
        return attributes

    def _usage(self, attempt: AttemptRun) -> Usage:
        """What the answer took, as if one attempt had given all of it."""
        if self._broken is None:
            return attempt.row.usage
        return self._broken.usage_with(attempt.turn.how, attempt.row)
