"""What has to be true of a row, its postings and its price, and how it is said where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

from mesh.money import cost_nanos, format_usd
from mesh.prices import by_version
from services.ledger.domain.leasing import Account
from services.ledger.domain.posting import Posting, payable_account, spend_account
from services.ledger.domain.totals import Key, Sums
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    AUDIT_INVARIANT_BALANCES_EQUAL_SUMS,
    AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS,
    AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO,
    AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS,
    AUDIT_INVARIANT_ROWS_EQUAL_PRICES,
    AUDIT_INVARIANT_TOTALS_EQUAL_ROWS,
    Attempt,
    AuditFinding,
    Price,
)


def check_attempt(
    row: Attempt, postings: Sequence[Posting], adjusted_nanos: int, prices: Mapping[str, Price]
) -> Iterator[AuditFinding]:
    """What is wrong with an attempt. `postings` are in their order, `prices` by version."""
    yield from check_entries(row.attempt_id, postings)
    owed = row.cost_nanos + adjusted_nanos
    spend = spend_account(row.tenant, row.project, row.api_key_id)
    payable = payable_account(row.provider_name)
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.account] = sums.get(posting.account, 0) + posting.amount_nanos
    for account, amount in ((spend, owed), (payable, -owed)):
        if (posted := sums.pop(account, 0)) != amount:
            message = f"{account} has {_usd(posted)} posted for it, and the row says {_usd(amount)}"
            yield AuditFinding(invariant=AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS, subject=row.attempt_id, message=message)
    for account, posted in sums.items():
        if posted:
            message = f"{account} has {_usd(posted)} posted for it, and the row says nothing of that account"
            yield AuditFinding(invariant=AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS, subject=row.attempt_id, message=message)
    if why := why_not_priced_right(row, prices):
        yield AuditFinding(invariant=AUDIT_INVARIANT_ROWS_EQUAL_PRICES, subject=row.attempt_id, message=why)


def check_entries(attempt_id: str, postings: Sequence[Posting]) -> Iterator[AuditFinding]:
    """What is wrong among an attempt's postings alone."""
    for entry, pair in groupby(postings, lambda posting: posting.seq // 2):
        amounts = [posting.amount_nanos for posting in pair]
        if sum(amounts) or len(amounts) != 2:
            message = f"entry {entry} has {len(amounts)} of 2 postings, which sum to {_usd(sum(amounts))}"
            yield AuditFinding(invariant=AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO, subject=attempt_id, message=message)


def rowless(attempt_id: str, postings: Sequence[Posting]) -> Iterator[AuditFinding]:
    """What is wrong with postings whose attempt has no row."""
    yield from check_entries(attempt_id, postings)
    message = f"there are {len(postings)} postings for it, and no row"
    yield AuditFinding(invariant=AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS, subject=attempt_id, message=message)


def why_not_priced_right(row: Attempt, prices: Mapping[str, Price]) -> str:
    """How a row's cost differs from what its usage costs at the price it names; empty where it does not."""
    if not row.HasField("cost_nanos"):
        return f"names the price {row.price_version}, and no cost" if row.price_version else ""
    if row.kind == ATTEMPT_KIND_CACHE_HIT:
        return f"is an answer out of the cache, and costs {_usd(row.cost_nanos)}" if row.cost_nanos else ""
    price = by_version(row.price_version, prices)
    if price is None:
        named = row.price_version or "none"
        return f"costs {_usd(row.cost_nanos)} at a price the ledger does not have: {named}"
    expected = cost_nanos(row.usage, price)
    if expected == row.cost_nanos:
        return ""
    return f"costs {_usd(row.cost_nanos)}, and its usage costs {_usd(expected)} at {row.price_version}"


def check_balance(account: str, balance: int | None, posted: int) -> AuditFinding | None:
    """What is wrong with an account whose postings, those rolled into its balance included, sum to `posted`."""
    if balance == posted:
        return None
    there = "has no balance" if balance is None else f"stands at {_usd(balance)}"
    message = f"{there}, and its postings sum to {_usd(posted)}"
    return AuditFinding(invariant=AUDIT_INVARIANT_BALANCES_EQUAL_SUMS, subject=account, message=message)


def check_day(
    day: str, kept: Mapping[Key, Sequence[int]], counted: Mapping[Key, Sequence[int]]
) -> Iterator[AuditFinding]:
    """What is wrong with a day: totals as they are `kept`, and as they are `counted` from rows."""
    nothing = Sums()
    for key in sorted({*kept, *counted}):
        there, should = kept.get(key, nothing), counted.get(key, nothing)
        wrong = [
            f"{name} {number:,} where rows have {expected:,}"
            for name, number, expected in zip(Sums._fields, there, should, strict=True)
            if number != expected
        ]
        if wrong:
            of = f"{key.tenant}/{key.project}/{key.api_key_id} {key.deployment}"
            message = f"the total of {of} has {', '.join(wrong)}"
            yield AuditFinding(invariant=AUDIT_INVARIANT_TOTALS_EQUAL_ROWS, subject=day, message=message)


def check_spent(account: Account, spent: int, charged: int, granted: int, left: int) -> Iterator[AuditFinding]:
    """What is wrong with a budget's account: `charged` is what its rows come to, those rolled into daily totals
    included, and `left` what may still come of its leases."""
    wrong = []
    if spent != charged:
        wrong.append(f"{_usd(spent)} spent, and its rows come to {_usd(charged)}")
    if granted != left:
        wrong.append(f"{_usd(granted)} granted, and its leases have {_usd(left)} left")
    if wrong:
        since = (
            ""
            if account.end is None
            else f" from {datetime.fromtimestamp(account.start // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
        )
        subject = f"{account.budget_id} {account.subject}{since}"
        message = f"has {', and '.join(wrong)}"
        yield AuditFinding(invariant=AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS, subject=subject, message=message)


def _usd(nanos: int) -> str:
    return f"${format_usd(nanos)}" if nanos >= 0 else f"-${format_usd(-nanos)}"
