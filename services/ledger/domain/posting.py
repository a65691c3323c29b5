"""Double entry: what an attempt costs is added to an account of who spent it, and taken from one of who is owed it.

An entry is a pair of postings that sum to zero; an attempt's postings are numbered from 0, so that an entry is an even
one and the odd one after it. What was posted stays: a row that says something else than before is followed by an entry
that takes the old amount back and one that books the new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATE_UNSETTLED, Attempt

SETTLEMENT, ADJUSTMENT = "settlement", "adjustment"
"""Kinds of posting: what an attempt was first known to cost, and what was found out or decided afterwards."""


class Change(NamedTuple):
    """A row that is new (`before` is None), or was moved forward."""

    before: Attempt | None
    after: Attempt


class Posting(NamedTuple):
    """An amount in nano-USD, added to an account."""

    attempt_id: str
    seq: int
    account: str
    amount_nanos: int
    kind: str


@lru_cache(maxsize=4096)
def spend_account(tenant: str, project: str, api_key_id: str) -> str:
    """Where the spend of a key is added up: `spend:tenant/project/key`, with slashes in names written as %2F."""
    return f"spend:{_escaped(tenant)}/{_escaped(project)}/{_escaped(api_key_id)}"


@lru_cache(maxsize=1024)
def payable_account(provider_name: str) -> str:
    """Where what a provider is owed is taken from: `payable:provider`."""
    return f"payable:{_escaped(provider_name)}"


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def postings(changes: Iterable[Change], posted: Mapping[str, int]) -> list[Posting]:
    """What changed rows add to the book. `posted` says how many postings an attempt has; absent: none."""
    made: list[Posting] = []
    for before, after in changes:
        cost = after.cost_nanos  # 0 where it is not known, too: nothing is owed before it is
        if before is None:
            if cost:
                _enter(made, after, cost, 0, SETTLEMENT)
            continue
        was = before.cost_nanos
        if cost == was and (not cost or _accounts(before) == _accounts(after)):
            continue
        seq = posted.get(after.attempt_id, 0)
        kind = ADJUSTMENT if before.state == ATTEMPT_STATE_UNSETTLED or seq else SETTLEMENT
        if was:
            _enter(made, before, -was, seq, ADJUSTMENT)
            seq += 2
        if cost:
            _enter(made, after, cost, seq, kind)
    return made


def adjustment(attempt: Attempt, amount_nanos: int, posted: int) -> list[Posting]:
    """The entry that adds an amount to what an attempt with so many postings costs."""
    made: list[Posting] = []
    _enter(made, attempt, amount_nanos, posted, ADJUSTMENT)
    return made


def may_have_postings(row: Attempt) -> bool:
    """Whether a row that is there can have postings: it costs something, or operators can have adjusted it."""
    return row.state >= ATTEMPT_STATE_UNSETTLED or row.cost_nanos != 0


def balance_changes(made: Iterable[Posting]) -> dict[str, int]:
    """What postings add to each account, in the order of the names: writers that meet never wait in a ring."""
    sums: dict[str, int] = {}
    for posting in made:
        sums[posting.account] = sums.get(posting.account, 0) + posting.amount_nanos
    return dict(sorted(sums.items()))


def _accounts(attempt: Attempt) -> tuple[str, str]:
    return (
        spend_account(attempt.tenant, attempt.project, attempt.api_key_id),
        payable_account(attempt.provider_name),
    )


def _enter(made: list[Posting], attempt: Attempt, amount: int, seq: int, kind: str) -> None:
    spend, payable = _accounts(attempt)
    made.append(Posting(attempt.attempt_id, seq, spend, amount, kind))
    made.append(Posting(attempt.attempt_id, seq + 1, payable, -amount, kind))
