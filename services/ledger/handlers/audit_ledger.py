"""Holds the whole book against itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from mesh.mediator import StreamQuery
from services.ledger.domain.auditing import check_attempt, check_balance, check_day, check_spent, rowless
from services.ledger.ports import Books, Prices, Stretch
from tollway.ledger.v1.ledger_pb2 import AuditLedgerResponse, Price


@dataclass(frozen=True, slots=True)
class AuditLedger(StreamQuery[AuditLedgerResponse]):
    """Asks for what does not agree; see AuditLedgerResponse."""


async def audit_ledger(query: AuditLedger, *, books: Books, prices: Prices) -> AsyncIterator[AuditLedgerResponse]:
    """A response for every stretch of the book, and the last one `done`."""
    async with books.open() as book:
        known = {price.version: price for price in (await prices.book()).prices}
        told = AuditLedgerResponse(attempts_in_all=book.attempts, conflicts=book.conflicts, cost_nanos=book.cost_nanos)
        async with aclosing(book.stretches()) as stretches:
            async for stretch in stretches:
                told = _after(told)
                _check_stretch(stretch, known, told)
                yield told
        told = _after(told)
        async with aclosing(book.accounts()) as accounts:
            async for account in accounts:
                if finding := check_balance(account.name, account.balance_nanos, account.posted_nanos):
                    told.findings.append(finding)
                told.accounts += 1
        yield told
        async with aclosing(book.days()) as days:
            async for day in days:
                told = _after(told)
                told.findings.extend(check_day(day.day, day.kept, day.counted))
                told.days += 1
                yield told
        told = _after(told)
        async with aclosing(book.spent()) as spent:
            async for each in spent:
                told.findings.extend(
                    check_spent(each.account, each.spent_nanos, each.charged_nanos, each.granted_nanos, each.left_nanos)
                )
                told.budget_accounts += 1
        yield told
        told = _after(told)
        told.done = True
        yield told


def _check_stretch(stretch: Stretch, prices: Mapping[str, Price], told: AuditLedgerResponse) -> None:
    rows = {row.attempt_id: row for row in stretch.rows}
    for identifier, row in rows.items():
        adjusted = stretch.adjusted.get(identifier, 0)
        told.findings.extend(check_attempt(row, stretch.postings.get(identifier, ()), adjusted, prices))
    for identifier, postings in stretch.postings.items():
        if identifier not in rows:
            told.findings.extend(rowless(identifier, postings))
    told.attempts += len(rows)
    told.postings += sum(map(len, stretch.postings.values()))


def _after(told: AuditLedgerResponse) -> AuditLedgerResponse:
    """What is told next: the counts so far. A message that was sent is never written to."""
    following = AuditLedgerResponse()
    following.CopyFrom(told)
    del following.findings[:]
    return following
