"""Accounts of budgets: what stands for one, and how sums are added to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Row

from services.ledger.adapters.moments import micros_writer, to_micros
from services.ledger.adapters.schema import budget_accounts
from services.ledger.adapters.statements import add_to
from services.ledger.adapters.store import Store
from services.ledger.domain.leasing import Account, Balance

columns = budget_accounts.c
IDENTITY = (columns.budget_id, columns.subject, columns.start_time, columns.end_time)
"""What `account_of` reads, as the first columns of a row."""

BALANCE = (columns.spent_nanos, columns.granted_nanos, columns.unleased_nanos, columns.told)
"""What a balance is made of."""


class Sums(NamedTuple):
    """What is added to an account, in the order of the columns that keep it."""

    spent_nanos: int = 0
    granted_nanos: int = 0
    unleased_nanos: int = 0
    rolled_nanos: int = 0
    attempts: int = 0


class AccountWriter:
    """Adds to accounts, and makes those that are not there. Inside a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._add = add_to(budget_accounts, Sums._fields, store.dialect)
        self._time = micros_writer(store.dialect)

    async def add(self, sums: Mapping[Account, Sums]) -> None:
        rows = [
            (digest(account), *account[:2], self._time(account.start), self._time(account.end), *added, 0)
            for account, added in sums.items()
        ]
        if rows:
            await self._store.execute_many(self._add, rows)


@lru_cache(maxsize=4096)
def digest(account: Account) -> str:
    """What stands for an account; not to be changed, since it is kept."""
    words = json.dumps(account[:3], ensure_ascii=False).encode()
    return hashlib.blake2b(words, digest_size=16).hexdigest()


def account_of(row: Row[*tuple[Any, ...]] | Sequence[Any]) -> Account:
    """The account that the first columns of a row are the IDENTITY of."""
    budget_id, subject, start, end = row[:4]
    return Account(budget_id, subject, to_micros(start), None if end is None else to_micros(end))


def balance_of(row: Sequence[Any]) -> Balance:
    """The balance that these columns are."""
    return Balance(*(int(number) for number in row))
