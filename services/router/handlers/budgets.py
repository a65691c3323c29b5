"""Keeping calls within hard budgets: each reserves what it may cost before it leaves, and is cut before it costs more.

A call under a hard budget is always heard as it speaks, and given more while there is more. One whose tokens may be
hidden cannot be judged by what it says, so it is told to stop where its reservation ends (its cap on tokens). Where it
does stop there, though its client had set no such end, the answer is not whole: another call may go on with it, with
twice as much reserved, else it ends with `budget_exceeded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mesh.budgets import BudgetBook, Claim
from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from services.router.domain import budgets
from services.router.domain.answer import Answer
from services.router.domain.expectation import Expectation
from services.router.domain.purse import Hold, Short
from services.router.domain.reservation import (
    Amounts,
    Costs,
    Sizing,
    capped,
    client_cap,
    is_beyond_text,
    prompt_tokens,
    spoken_tokens,
    tokens_are_free,
)
from services.router.domain.routes import Candidate
from services.router.handlers.caller import FromCaller
from services.router.handlers.reservations import Reservations
from services.router.ports import PriceSource
from tollway.chat.v1.chat_pb2 import ChatChunk, ChatRequest, FinishReason
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATUS_OK, PROVENANCE_PROVIDER_REPORTED, Attempt, Price

_GROWS_WITHIN = 0.1
"""Seconds that a call which is being answered waits for more. Its provider goes on meanwhile, and bills it: what it may
need is asked for while it speaks."""

_REACHED = 0.95
"""Of a cap: an answer that ends for its length, and is as long as that, was ended by it."""


class Budgeting:
    """All hard budgets. `wait` is how many seconds a call may wait for what others have reserved; `allow`: while the
    ledger is lost, calls go on without leases."""

    def __init__(
        self, reservations: Reservations, prices: PriceSource, clock: Clock, *, wait: float, allow: bool
    ) -> None:
        self.reservations, self.wait, self.allow = reservations, wait, allow
        self.prices, self.clock = prices, clock
        self.expectation = Expectation()
        self._book = BudgetBook()
        self._any = False

    @property
    def any(self) -> bool:
        """Whether there is a hard budget at all."""
        return self._any

    def adopt(self, book: BudgetBook) -> None:
        """These are the budgets from now on."""
        self._book = book
        self._any = any(not budget.soft for budget in book.budgets)
        self.reservations.purse.reconsider()

    def account(
        self, question: FromCaller, chat: ChatRequest, tags: Sequence[str], *, unbounded: str = ""
    ) -> Account | None:
        """What a question is charged to; None: no hard budget. `unbounded` names what it asks for, if nobody can tell
        what that costs at most."""
        if not self._any:
            return None
        who = question.principal
        claims = self._book.claims(who.tenant, who.project, who.key, chat.model, tags)
        hard = tuple(claim for claim in claims if not claim.budget.soft)
        return Account(self, hard, who.key, chat.model, unbounded) if hard else None


class Account:
    """The budgets that bear a question, with all its attempts."""

    def __init__(
        self, budgeting: Budgeting, claims: Sequence[Claim], key: str, model: str, unbounded: str = ""
    ) -> None:
        self._budgeting, self._unbounded = budgeting, unbounded
        self._claims = {(claim.budget.budget_id, claim.subject): claim for claim in claims}
        self._names = tuple(self._claims)
        self._key, self._model = key, model
        self._too_few = 0
        """Tokens that were not enough for an attempt's answer."""

    @staticmethod
    def hears(chat: ChatRequest) -> bool:
        """Whether the answer can be heard as it is given. Sound in most formats cannot."""
        return all(modality == "text" for modality in chat.modalities)

    async def reserve(self, candidate: Candidate, chat: ChatRequest, left: float | None) -> Charge:
        """Reserves for an attempt; `left` is how many seconds there are for that. Raises TollwayError BUDGET_EXCEEDED,
        MODEL_UNPRICED, and SERVICE_UNAVAILABLE where the ledger is lost."""
        patience = self._budgeting.wait if left is None else min(self._budgeting.wait, left)
        await self._learn_price(candidate, left)
        sizing, amounts = self._size(candidate, chat)
        held = await self._budgeting.reservations.reserve(self._names, amounts, patience)
        if isinstance(held, Short):
            if not (held.lost and self._budgeting.allow):
                raise self.refusal(held)
            held = Hold(0, ())
        return self._charge(sizing, chat, held)

    def reserve_now(self, candidate: Candidate, chat: ChatRequest) -> Charge | None:
        """The same for an attempt that can be done without: None where it would have to wait, or cannot be borne."""
        try:
            sizing, amounts = self._size(candidate, chat)
        except TollwayError:
            return None
        held = self._budgeting.reservations.reserve_now(self._names, amounts)
        return None if isinstance(held, Short) else self._charge(sizing, chat, held)

    def _size(self, candidate: Candidate, chat: ChatRequest) -> tuple[Sizing, Amounts]:
        price = self._price(candidate)
        if price is None:
            return Sizing(Costs(0, 0), 1, None, capped=False), Amounts(0, 0, 0)
        if self._unbounded and not tokens_are_free(price):
            provider, subject = candidate.deployment.provider, self._names[0][1]
            raise budgets.unbounded(provider, candidate.model, subject, self._unbounded, {})
        can = candidate.deployment.can
        hidden = can is None or "reasoning" in can or not self.hears(chat)
        costs = Costs.at(price, prompt_tokens(chat), chat.service_tier, beyond_text=is_beyond_text(chat))
        sizing = Sizing(costs, chat.choice_count or 1, client_cap(chat), hidden)
        return sizing, sizing.amounts(self._budgeting.expectation.seen(self._key, self._model), self._too_few)

    async def _learn_price(self, candidate: Candidate, left: float | None) -> None:
        """Waits for the ledger to say what a model costs that is met for the first time: it may be in its catalogue."""
        if self._find_price(candidate) is None and not self._budgeting.reservations.lost:
            try:
                async with self._budgeting.clock.timeout(left):
                    await self._budgeting.prices.learn(candidate.deployment.provider, candidate.model)
            except TimeoutError:
                return  # it is as unknown as before

    def _find_price(self, candidate: Candidate) -> Price | None:
        return self._budgeting.prices.find(candidate.deployment.provider, candidate.model, self._budgeting.clock.time())

    def _price(self, candidate: Candidate) -> Price | None:
        """None: not known, and does not matter."""
        provider, model = candidate.deployment.provider, candidate.model
        price = self._find_price(candidate)
        if price is None:
            subject = self._names[0][1]
            if not self._budgeting.reservations.lost:
                raise budgets.unpriced(provider, model, subject, {})
            if not self._budgeting.allow:
                raise budgets.out_of_reach(subject, {})
        return price

    def _charge(self, sizing: Sizing, chat: ChatRequest, held: Hold) -> Charge:
        cap = sizing.cap_for(held.amount) if held.leases else None
        return Charge(self, sizing, held, capped(chat, cap), cap)

    def refusal(self, short: Short, about: Mapping[str, str] | None = None) -> TollwayError:
        """What the client is told."""
        claim = self._claims[short.name]
        if short.lost:
            return budgets.out_of_reach(claim.subject, about or {})
        fund = self._budgeting.reservations.purse.fund(short.name)
        return budgets.exceeded(claim.budget, claim.subject, fund, about or {})

    # -- for its charges -------------------------------------------------------------------------------------------

    async def grow(self, held: Hold, amounts: Amounts) -> bool:
        """Whether a call under way is borne further. Raises TollwayError where it is not."""
        patience = min(_GROWS_WITHIN, self._budgeting.wait)
        short = await self._budgeting.reservations.grow(held, amounts, patience)
        if short is None:
            return True
        if short.lost and self._budgeting.allow:
            return False
        raise self.refusal(short)

    def grow_meanwhile(self, held: Hold, amount: int, welcome: int) -> asyncio.Future[Hold | Short] | None:
        """Reserves more for a call under way, and rather as much as is `welcome`; where it is not here, what will be
        known of it."""
        reservations = self._budgeting.reservations
        if reservations.grow_now(held, welcome) is None:
            return None
        short = reservations.grow_now(held, amount)
        return None if short is None else reservations.grow_soon(held, amount, short.name)

    def shrink(self, held: Hold, amount: int) -> None:
        self._budgeting.reservations.shrink(held, amount)

    def settle(self, held: Hold, cost: int) -> None:
        self._budgeting.reservations.settle(held, cost)

    def note(self, tokens: float) -> None:
        """An answer took so many tokens."""
        self._budgeting.expectation.note(self._key, self._model, tokens)

    def was_too_little(self, cap: int) -> TollwayError:
        """An answer was ended by its reservation."""
        self._too_few = cap
        self.note(cap)
        claim = self._claims[self._names[0]]
        message = (
            f"The answer ended after the {cap} tokens that were reserved for it under the budget of {claim.subject}, "
            "and no more could be. A cap of your own on its tokens (max_completion_tokens) says how many it may have."
        )
        metadata = {"scope": claim.subject, "budget": claim.budget.budget_id}
        return TollwayError(Reason.RESERVATION_EXCEEDED, message, metadata, retry_after=0.0)


class Charge:
    """What an attempt may cost. `chat` is what to ask: with a cap of ours (`cap`), where its tokens may be hidden."""

    def __init__(self, account: Account, sizing: Sizing, held: Hold, chat: ChatRequest, cap: int | None) -> None:
        self.chat = chat
        self.lease_ids = [lease.id for lease in held.leases]
        self._account, self._sizing, self._held, self._cap = account, sizing, held, cap
        self._bounded = bool(held.leases)
        self._growing: asyncio.Future[Hold | Short] | None = None
        """What was asked for while it speaks, and has not come yet."""
        self._spoken = 0
        self._open = sizing.choices

    # -- while it is answered --------------------------------------------------------------------------------------

    def covers(self, chunk: ChatChunk, answer: Answer) -> bool:
        """Whether what was said so far, with this, is within what is reserved; asks for more well before it is not."""
        if self._cap is not None or not self._bounded:
            return True
        self._spoken += spoken_tokens(chunk.deltas)
        still_open = max(self._sizing.choices - len(answer.finishes), 0)
        if still_open < self._open:
            self._open = still_open
            self._release()
        missing = self._sizing.needed(self._spoken, still_open) - self._held.amount
        if missing > 0 and (self._growing is None or self._growing.done()):
            welcome = self._sizing.welcome(self._spoken, still_open) - self._held.amount
            self._growing = self._account.grow_meanwhile(self._held, missing, welcome)
        return missing <= 0 or self._sizing.costs.of(self._spoken) <= self._held.amount

    def _release(self) -> None:
        """Some answers have come to their end, and need nothing more."""
        if self._sizing.cap is not None:
            surplus = self._held.amount - self._sizing.costs.of(self._spoken + self._sizing.cap * self._open)
            if surplus > 0:
                self._account.shrink(self._held, surplus)

    async def cover(self) -> None:
        """Waits for what is missing. Raises TollwayError BUDGET_EXCEEDED where it does not come."""
        self._ask_no_more()
        least = self._sizing.costs.of(self._spoken) - self._held.amount
        usual = self._sizing.needed(self._spoken, self._open) - self._held.amount
        self._bounded = await self._account.grow(self._held, Amounts(usual, usual, max(least, 1)))

    def check(self, answer: Answer) -> None:
        """The answer is over. Raises TollwayError RESERVATION_EXCEEDED where it is not whole, for it had to end."""
        if self._cap is None or FinishReason.FINISH_REASON_LENGTH not in answer.finishes.values():
            return
        usage = answer.usage
        if usage is None or usage.output_tokens >= _REACHED * self._cap:
            raise self._account.was_too_little(self._cap)

    # -- afterwards ------------------------------------------------------------------------------------------------

    def settle(self, row: Attempt) -> None:
        """It cost what its row says."""
        self._ask_no_more()
        self._account.settle(self._held, row.cost_nanos)
        if row.provenance == PROVENANCE_PROVIDER_REPORTED and row.status == ATTEMPT_STATUS_OK:
            self._account.note(row.usage.output_tokens / self._sizing.choices)

    def release(self) -> None:
        """It was never made."""
        self._account.settle(self._held, 0)

    def _ask_no_more(self) -> None:
        if self._growing is not None:
            self._growing.cancel()
