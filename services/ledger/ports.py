"""What the ledger's handlers need of the outside. Every method raises TollwayError SERVICE_UNAVAILABLE where the
store cannot be reached, read or written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.budgets import BudgetBook
from mesh.errors import TollwayError
from mesh.mediator import Event
from mesh.prices import PriceBook
from services.ledger.domain.booking import Conflict
from services.ledger.domain.catalogue import Found
from services.ledger.domain.charging import Charges
from services.ledger.domain.leasing import Account as BudgetAccount
from services.ledger.domain.leasing import Balance, Lease
from services.ledger.domain.posting import Change, Posting
from services.ledger.domain.totals import Key, Totals
from tollway.ledger.v1.budget_pb2 import Budget
from tollway.ledger.v1.ledger_pb2 import Attempt, GetSpendResponse, Price, SpendDimension, UsageFilter


class SumTooLarge(TollwayError):
    """INVALID_REQUEST: what was to be written, or asked for, takes a sum beyond 2^63 - 1. Nothing was written."""


class Transactions(Protocol):
    """Turns what a command writes into one whole."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Commits at the end of the block, or undoes everything where the block raises. One at a time."""


class Attempts(Protocol):
    """Attempts by their id. To be used inside a transaction."""

    async def find(self, attempt_ids: Sequence[str]) -> Mapping[str, Attempt]:
        """Those of them that have a row."""

    async def put(self, changes: Sequence[Change]) -> None:
        """Adds the rows that are new, and moves those that are there forward. At most one of each id."""


class Book(Protocol):
    """Postings, and what they and the rows come to. To be used inside a transaction."""

    async def posted(self, attempt_ids: Sequence[str]) -> Mapping[str, int]:
        """How many postings each of those has that has any."""

    async def post(self, postings: Sequence[Posting], time: float) -> None:
        """Adds postings, made at that Unix time, and moves the balances of their accounts."""

    async def add_to_totals(self, totals: Totals, *, rolled: bool = False) -> None:
        """Adds to daily totals; `rolled` to those whose rows are gone."""


class Conflicts(Protocol):
    """What came under an id that is booked with other content. To be used inside a transaction."""

    async def keep(self, conflicts: Sequence[Conflict], journal_id: str, time: float) -> int:
        """Keeps each content once; how many are kept by now."""

    async def count(self) -> int:
        """How many are kept."""


class Adjustments(Protocol):
    """What operators decided. To be used inside a transaction."""

    async def of(self, attempt_ids: Sequence[str]) -> Mapping[str, int]:
        """In nano-USD, what was added to each of those that was adjusted."""

    async def add(self, attempt_id: str, seq: int, amount_nanos: int, reason: str, time: float) -> None:
        """`seq` is that of its first posting."""


class Details(Protocol):
    """Rows that are old enough to be rolled into daily totals. To be used inside a transaction, but for the first."""

    async def rolled_before(self) -> int:
        """The time, in microseconds since the epoch, before which settled attempts are in daily totals alone, or about
        to be. 0: nothing was ever rolled."""

    async def roll_before(self, micros: int) -> None:
        """Moves that time forward."""

    async def oldest(self, before: int, most: int) -> Sequence[Attempt]:
        """Settled attempts that started before that time in microseconds."""

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Takes rows away with all that hangs on them, and keeps the sums of their postings in the balances."""

    async def tidy(self, before: int) -> None:
        """Takes away what is empty of before that time in microseconds."""

    async def make_room(self, times: Sequence[float]) -> None:
        """Gets ready for attempts of those Unix times."""


class Budgets(Protocol):
    """Budgets that hold. Inside a transaction it sees what that has changed."""

    async def ever(self) -> bool:
        """Whether there ever was one. To be used inside a transaction."""

    async def book(self) -> BudgetBook:
        """All of them; the same book as long as none is changed."""

    async def put(self, budget: Budget, time: float) -> Budget:
        """Makes it, or changes the one of its id, at that Unix time; the budget as it is now."""

    async def end(self, budget_id: str, time: float) -> None:
        """It holds no longer."""


class Spending(Protocol):
    """What was spent and granted of budgets. To be used inside a transaction, but for what reads.

    An account that nothing was spent or granted of is none, and its balance zeros.
    """

    async def balances(self, accounts: Collection[BudgetAccount]) -> Mapping[BudgetAccount, Balance]:
        """Those of them that there are."""

    async def spenders(self, budget_id: str, starts: Sequence[int], most: int) -> Sequence[tuple[str, Balance]]:
        """Subjects of a budget that spent most in the windows that start then, all of these together."""

    async def charged(self, attempt_ids: Sequence[str]) -> Mapping[str, Sequence[BudgetAccount]]:
        """The accounts that each of those counts to that counts to any."""

    async def charge(self, charges: Charges, leases: Mapping[str, Lease]) -> None:
        """Adds attempts to accounts, and moves what they cost from their leases to what was spent."""

    async def tell(self, told: Mapping[BudgetAccount, int]) -> None:
        """Remembers the highest threshold that was told of an account."""

    async def tidy(self, before: int) -> None:
        """Takes away leases that expired before that time in microseconds and are closed or of a window that is over,
        and accounts of windows that were over by then, of whose attempts there are no rows."""


class Leases(Protocol):
    """Slices that routers hold. To be used inside a transaction, but for what reads."""

    async def find(self, lease_ids: Collection[str]) -> Mapping[str, Lease]:
        """Those of them that there are."""

    async def open_of(self, journal_id: str) -> Sequence[Lease]:
        """Those of a journal that are not closed."""

    async def put(self, before: Lease | None, after: Lease) -> None:
        """Adds it, or changes the one that is there; what is left of it is granted of its account."""

    async def holders(self, accounts: Collection[BudgetAccount], now: int) -> Collection[str]:
        """Journals with a lease of these accounts that has not expired."""

    async def recall(self, accounts: Collection[BudgetAccount], but: str, now: int) -> None:
        """Wants back what is idle of leases of these accounts, of all journals but one."""

    async def answered(self, lease_ids: Collection[str]) -> None:
        """They are not recalled any more."""

    async def recalled(self, journal_id: str) -> Mapping[str, int]:
        """Of that journal's leases those that are recalled, and when each was, in microseconds."""


class Outbox(Protocol):
    """Events that have happened if, and only if, the transaction they are put in is committed."""

    async def put(self, events: Sequence[Event], time: float) -> None:
        """Each will be published at least once, here or by another ledger on the same database."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some of the book, in the order of attempts' ids: rows, and postings and adjustments by attempt."""

    rows: Sequence[Attempt]
    postings: Mapping[str, Sequence[Posting]]
    adjusted: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Account:
    """An account's balance (None: it has none), and what its postings, rolled ones included, sum to."""

    name: str
    balance_nanos: int | None
    posted_nanos: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day's totals as they are kept, and as its rows come to."""

    day: str
    kept: Mapping[Key, Sequence[int]]
    counted: Mapping[Key, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Spent:
    """An account of a budget as it is kept, and as its rows and leases come to, in nano-USD."""

    account: BudgetAccount
    spent_nanos: int
    granted_nanos: int
    charged_nanos: int
    left_nanos: int


class Books(Protocol):
    """The whole book in one state, however long it is read. Nothing of it is held in memory but what was given last."""

    def open(self) -> AbstractAsyncContextManager[OpenBooks]:
        """To be read in its block."""


class OpenBooks(Protocol):
    """The book as it was when it was opened."""

    @property
    def attempts(self) -> int:
        """Rows in all."""

    @property
    def conflicts(self) -> int:
        """Contents that are kept apart."""

    @property
    def cost_nanos(self) -> int:
        """What everything cost, by the daily totals."""

    def stretches(self) -> AsyncGenerator[Stretch]:
        """All rows and all postings, those without a row included."""

    def accounts(self) -> AsyncGenerator[Account]:
        """All that have a balance or a posting."""

    def days(self) -> AsyncGenerator[Day]:
        """All that have a total or a row."""

    def spent(self) -> AsyncGenerator[Spent]:
        """All accounts of budgets."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of attempts ended: the last one's start time in microseconds since the epoch, and its id."""

    start_micros: int
    attempt_id: str


class Usage(Protocol):
    """Attempts by what they have in common."""

    async def page(self, filter: UsageFilter, after: Place | None, size: int) -> tuple[Sequence[Attempt], Place | None]:
        """At most `size` attempts, newest first, and where to go on; None at the end."""

    async def spend(self, filter: UsageFilter, group_by: Sequence[SpendDimension.ValueType]) -> GetSpendResponse:
        """Sums by those dimensions, dearest first, and over all, of one moment.

        Raises TollwayError INVALID_REQUEST where a sum is too large to be said.
        """


class Prices(Protocol):
    """Prices; they are added, never changed. Inside a transaction it sees what that has added."""

    async def book(self) -> PriceBook:
        """All of them; the same book as long as none is added."""

    async def set_at(self, provider: str, model: str, effective: Timestamp) -> Price | None:
        """The price of one's own that was set for exactly this provider, model and time."""

    async def add(self, price: Price) -> None: ...


class Catalogue(Protocol):
    """What somebody else says that models cost."""

    @property
    def providers(self) -> Container[str]:
        """Those of ours whose prices it may have."""

    async def look_up(self, models: Sequence[tuple[str, str]]) -> Found:
        """What it says of these models, each a provider's name and the model's there."""


class Changes(Protocol):
    """Says when something that is watched may have changed."""

    def follow(self) -> AsyncGenerator[None]:
        """Yields at once, and again after every change, until the ledger drains."""

    def announce(self) -> None:
        """Wakes everyone who follows."""
