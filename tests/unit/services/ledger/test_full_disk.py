"""A disk that is full, as the operating system tells it: a process that may not make its files any larger."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from services.ledger.bootstrap import open_reader
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.settings import LedgerSettings

FILL_THE_DISK = """
import asyncio, pathlib, resource, sys
from mesh.clock import SystemClock
from mesh.errors import Reason, TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.samples import priced

async def main():
    ledger = await start(LedgerSettings(pathlib.Path(sys.argv[1])), clock=SystemClock(), tracer=NoTracer(),
                         metrics=NoMetrics())
    send = ledger._servicer._mediator.send
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    booked = 0
    while ledger.serving:
        batch = [priced() for _ in range(200)]
        try:
            await send(RecordAttempts(batch))
            booked += len(batch)
        except TollwayError as error:
            assert error.reason is Reason.SERVICE_UNAVAILABLE, error
            print("unavailable:", error.message)
        assert booked < 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    answer = await send(RecordAttempts(batch))
    assert {result.outcome for result in answer.results} == {1}, "nothing of the batch was booked"
    assert ledger.serving
    print("booked", booked + len(batch))
    await ledger.close()

asyncio.run(main())
"""


async def test_a_full_disk_is_unavailable_shows_in_health_and_takes_the_same_batch_once_there_is_room(
    tmp_path: Path,
) -> None:
    pytest.importorskip("resource", reason="limits of a process are Unix's")
    database = tmp_path / "ledger.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FILL_THE_DISK, str(database), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    said = out.decode().splitlines()
    assert process.returncode == 0, said
    assert said[0].startswith("unavailable: the ledger's store cannot be used")
    booked = int(said[1].removeprefix("booked "))
    async with await open_reader(LedgerSettings(database)) as reader:
        responses = [response async for response in reader.stream(AuditLedger())]
    assert not any(response.findings for response in responses)
    assert responses[-1].attempts == booked
