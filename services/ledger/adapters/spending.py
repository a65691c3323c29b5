"""What was spent of budgets, as rows of `budget_accounts` and `budget_charges`: one statement each for a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, exists, func, select, update

from services.ledger.adapters import accounts
from services.ledger.adapters.accounts import (
    BALANCE,
    IDENTITY,
    AccountWriter,
    Sums,
    account_of,
    balance_of,
    digest,
)
from services.ledger.adapters.attempts import IDS_AT_ONCE
from services.ledger.adapters.moments import from_micros
from services.ledger.adapters.schema import budget_accounts, budget_charges, budget_leases
from services.ledger.adapters.statements import compiled
from services.ledger.adapters.store import Store
from services.ledger.domain.charging import Charges
from services.ledger.domain.leasing import Account, Balance, Lease

_accounts, _charges, _leases = accounts.columns, budget_charges.c, budget_leases.c
_settle = (
    update(budget_leases)
    .where(_leases.lease_id == bindparam("id"))
    .values(settled_nanos=_leases.settled_nanos + bindparam("more"))
)
_tell = update(budget_accounts).where(_accounts.account == bindparam("id")).values(told=bindparam("percent"))


class SqlSpending:
    """Implements `ports.Spending`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer = AccountWriter(store)
        self._settle = compiled(_settle, store.dialect)
        self._tell = compiled(_tell, store.dialect)

    async def balances(self, of: Collection[Account]) -> Mapping[Account, Balance]:
        by_digest = {digest(account): account for account in of}
        names, found = list(by_digest), dict[Account, Balance]()
        async with self._store.connection() as connection:
            for start in range(0, len(names), IDS_AT_ONCE):
                wanted = _accounts.account.in_(names[start : start + IDS_AT_ONCE])
                for row in await connection.execute(select(_accounts.account, *BALANCE).where(wanted)):
                    found[by_digest[row[0]]] = balance_of(row[1:])
        return found

    async def spenders(self, budget_id: str, starts: Sequence[int], most: int) -> Sequence[tuple[str, Balance]]:
        first, last = from_micros(min(starts)), from_micros(max(starts))
        spent = func.sum(_accounts.spent_nanos)
        query = (
            select(
                _accounts.subject, spent, func.sum(_accounts.granted_nanos), func.sum(_accounts.unleased_nanos),
                func.max(_accounts.told),
            )
            .where(_accounts.budget_id == budget_id, _accounts.start_time.between(first, last))
            .group_by(_accounts.subject)
            .order_by(spent.desc(), _accounts.subject)
            .limit(most)
        )  # fmt: skip
        async with self._store.connection() as connection:
            return [(row[0], balance_of(row[1:])) for row in await connection.execute(query)]

    async def charged(self, attempt_ids: Sequence[str]) -> Mapping[str, Sequence[Account]]:
        found: dict[str, list[Account]] = {}
        query = select(*IDENTITY, _charges.attempt_id).join_from(
            budget_charges, budget_accounts, _charges.account == _accounts.account
        )
        async with self._store.connection() as connection:
            for start in range(0, len(attempt_ids), IDS_AT_ONCE):
                wanted = _charges.attempt_id.in_(attempt_ids[start : start + IDS_AT_ONCE])
                for row in await connection.execute(query.where(wanted).order_by(_charges.account)):
                    found.setdefault(row.attempt_id, []).append(account_of(row))
        return found

    async def charge(self, charges: Charges, leases: Mapping[str, Lease]) -> None:
        freed: Counter[Account] = Counter()
        for lease_id, nanos in charges.settled.items():
            freed[leases[lease_id].account] += nanos
        rows = Counter(account for _, account in charges.rows)
        sums = {
            account: Sums(
                charges.spent.get(account, 0), -freed[account], charges.unleased.get(account, 0), 0, rows[account]
            )
            for account in sorted(charges.spent.keys() | freed.keys(), key=digest)
        }
        await self._writer.add({account: added for account, added in sums.items() if any(added)})
        await self._store.insert(budget_charges, [(name, digest(account)) for name, account in charges.rows])
        settled = [{"id": name, "more": nanos} for name, nanos in sorted(charges.settled.items())]
        if settled:
            await self._store.execute_many(self._settle.words, [self._settle.places(each) for each in settled])

    async def tell(self, told: Mapping[Account, int]) -> None:
        rows = [{"id": digest(account), "percent": percent} for account, percent in told.items()]
        if rows:
            await self._store.execute_many(self._tell.words, [self._tell.places(row) for row in rows])

    async def tidy(self, before: int) -> None:
        moment = from_micros(before)
        over = select(_accounts.account).where(_accounts.end_time < moment)
        gone = (_leases.expire_time < moment, _leases.closed.is_(True) | _leases.account.in_(over))
        left = _leases.granted_nanos - _leases.returned_nanos - _leases.settled_nanos
        lost = (
            select(*IDENTITY, func.sum(left))
            .join_from(budget_leases, budget_accounts, _leases.account == _accounts.account)
            .where(*gone, _leases.closed.is_(False))
            .group_by(*IDENTITY)
        )
        async with self._store.connection() as connection:
            freed = {account_of(row): Sums(granted_nanos=-int(row[4])) for row in await connection.execute(lost)}
            await self._writer.add(freed)
            await connection.execute(delete(budget_leases).where(*gone))
            nothing_left = (
                _accounts.end_time < moment,
                _accounts.attempts == 0,
                ~exists().where(_leases.account == _accounts.account),
            )
            await connection.execute(delete(budget_accounts).where(*nothing_left))
