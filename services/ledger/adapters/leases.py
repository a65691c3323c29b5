"""Leases as rows of `budget_leases`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from services.ledger.adapters import accounts
from services.ledger.adapters.accounts import IDENTITY, AccountWriter, Sums, account_of, digest
from services.ledger.adapters.attempts import IDS_AT_ONCE
from services.ledger.adapters.bell import Bell
from services.ledger.adapters.moments import from_micros, to_micros
from services.ledger.adapters.schema import budget_accounts, budget_leases
from services.ledger.adapters.store import Store
from services.ledger.domain.leasing import Account, Lease

_leases = budget_leases.c
_whole_lease = select(
    *IDENTITY,
    _leases.lease_id,
    _leases.journal_id,
    _leases.granted_nanos,
    _leases.returned_nanos,
    _leases.settled_nanos,
    _leases.expire_time,
    _leases.closed,
).join_from(budget_leases, budget_accounts, _leases.account == accounts.columns.account)


class SqlLeases:
    """Implements `ports.Leases`. The bell rings when something was recalled."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store, self._bell = store, bell
        self._accounts = AccountWriter(store)

    async def find(self, lease_ids: Collection[str]) -> Mapping[str, Lease]:
        names, found = sorted(lease_ids), list[Lease]()
        for start in range(0, len(names), IDS_AT_ONCE):
            found += await self._read(_whole_lease.where(_leases.lease_id.in_(names[start : start + IDS_AT_ONCE])))
        return {lease.lease_id: lease for lease in found}

    async def open_of(self, journal_id: str) -> Sequence[Lease]:
        return await self._read(
            _whole_lease.where(_leases.journal_id == journal_id, _leases.closed.is_(False)).order_by(_leases.lease_id)
        )

    async def put(self, before: Lease | None, after: Lease) -> None:
        change = after.left - (before.left if before else 0)
        await self._accounts.add({after.account: Sums(granted_nanos=change)})
        values = {
            "granted_nanos": after.granted,
            "returned_nanos": after.returned,
            "expire_time": from_micros(after.expires),
            "closed": after.closed,
        }
        async with self._store.connection() as connection:
            if before is None:
                values |= {
                    "lease_id": after.lease_id,
                    "journal_id": after.journal_id,
                    "account": digest(after.account),
                    "settled_nanos": after.settled,
                }
                await connection.execute(insert(budget_leases), values)
            else:
                await connection.execute(
                    update(budget_leases).where(_leases.lease_id == after.lease_id).values(**values)
                )

    async def holders(self, of: Collection[Account], now: int) -> Collection[str]:
        held = (_leases.account.in_(list(map(digest, of))), *_spendable(now))
        async with self._store.connection() as connection:
            return set((await connection.execute(select(_leases.journal_id).where(*held).distinct())).scalars())

    async def recall(self, of: Collection[Account], but: str, now: int) -> None:
        wanted = (
            _leases.account.in_(list(map(digest, of))),
            _leases.journal_id != but,
            _leases.recall_time.is_(None),
            _leases.granted_nanos > _leases.returned_nanos + _leases.settled_nanos,
            *_spendable(now),
        )
        async with self._store.connection() as connection:
            recalled = await connection.execute(
                update(budget_leases).where(*wanted).values(recall_time=from_micros(now))
            )
        if recalled.rowcount:
            self._store.after_commit(self._bell.announce)

    async def answered(self, lease_ids: Collection[str]) -> None:
        there = (_leases.lease_id.in_(list(lease_ids)), _leases.recall_time.is_not(None))
        async with self._store.connection() as connection:
            await connection.execute(update(budget_leases).where(*there).values(recall_time=None))

    async def recalled(self, journal_id: str) -> Mapping[str, int]:
        wanted = (_leases.journal_id == journal_id, _leases.closed.is_(False), _leases.recall_time.is_not(None))
        query = select(_leases.lease_id, _leases.recall_time).where(*wanted).order_by(_leases.lease_id)
        async with self._store.connection() as connection:
            return {row[0]: to_micros(row[1]) for row in await connection.execute(query)}

    async def last_recall(self) -> object:
        """What changes when something is recalled, whoever does it."""
        query = select(func.count(), func.max(_leases.recall_time)).where(_leases.recall_time.is_not(None))
        async with self._store.connection() as connection:
            return tuple((await connection.execute(query)).one())

    async def _read(self, query: Select[*tuple[Any, ...]]) -> list[Lease]:
        async with self._store.connection() as connection:
            return list(map(_lease_of, await connection.execute(query)))


def _spendable(now: int) -> tuple[Any, ...]:
    return _leases.closed.is_(False), _leases.expire_time > from_micros(now)


def _lease_of(row: Row[*tuple[Any, ...]]) -> Lease:
    return Lease(
        row.lease_id,
        row.journal_id,
        account_of(row),
        row.granted_nanos,
        row.returned_nanos,
        row.settled_nanos,
        to_micros(row.expire_time),
        row.closed,
    )
