"""`tollway adjust`: another amount for an attempt, by an operator's decision."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mesh.money import format_usd
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.amounts import parse_amount
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console


def run_adjust(
    attempt_id: str, cost: str, reason: str, connect: str, key: str, data_dir: Path, config: Path | None
) -> None:
    """Posts what is missing to the amount, and says what that was."""
    try:
        nanos = parse_amount(cost)
    except ValueError as error:
        refuse(f"--cost {error}")
    request = ledger_pb2.AdjustAttemptRequest(attempt_id=attempt_id, cost_nanos=nanos, reason=reason)
    amount = asyncio.run(_adjust(request, connect, key, data_dir, config)).amount_nanos
    if not amount:
        console().print(f"{attempt_id} costs ${format_usd(nanos)} already: nothing was posted.", highlight=False)
        return
    done = "added" if amount > 0 else "taken back"
    console().print(f"${format_usd(abs(amount))} {done}: {attempt_id} costs ${format_usd(nanos)} now.", highlight=False)


async def _adjust(
    request: ledger_pb2.AdjustAttemptRequest, connect: str, key: str, data_dir: Path, config: Path | None
) -> ledger_pb2.AdjustAttemptResponse:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config, writable=True) as book:
        return await book.adjust(request)
