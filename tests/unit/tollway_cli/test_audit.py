from __future__ import annotations

import io

import pytest
from rich.console import Console

from tollway.ledger.v1 import ledger_pb2
from tollway_cli.audit import INVARIANTS, Tally, verdict_table


def finding(invariant: ledger_pb2.AuditInvariant.ValueType) -> ledger_pb2.AuditLedgerResponse:
    return ledger_pb2.AuditLedgerResponse(findings=[ledger_pb2.AuditFinding(invariant=invariant, subject="x")])


def shown(tally: Tally) -> str:
    console = Console(width=200, file=(out := io.StringIO()))
    console.print(verdict_table(tally))
    return out.getvalue()


def test_every_invariant_there_is_has_its_words() -> None:
    assert INVARIANTS.keys() == set(ledger_pb2.AuditInvariant.values()[1:])


def test_a_book_is_in_order_once_all_of_it_was_looked_at_and_nothing_found() -> None:
    tally = Tally()
    tally.add(ledger_pb2.AuditLedgerResponse(attempts=5, postings=10))
    assert not tally.in_order, "an audit that was cut short proves nothing"
    tally.add(ledger_pb2.AuditLedgerResponse(attempts=5, postings=10, accounts=2, days=1, done=True))
    assert tally.in_order
    assert "✗" not in shown(tally)
    assert "10 postings" in shown(tally)


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_a_finding_shows_with_its_invariant(invariant: ledger_pb2.AuditInvariant.ValueType) -> None:
    tally = Tally()
    tally.add(finding(invariant))
    tally.add(ledger_pb2.AuditLedgerResponse(done=True))
    assert not tally.in_order
    [line] = [line for line in shown(tally).splitlines() if "✗" in line]
    assert INVARIANTS[invariant] in line
    assert "1 does not" in line
