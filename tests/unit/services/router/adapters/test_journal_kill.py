"""kill -9, for real: a process that journals and ships is killed, and what it leaves behind is complete."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mesh.clock import VirtualClock
from mesh.tracing import NoTracer, TraceContext
from services.router.adapters.adoption import SWEEP_EVERY, Adoption
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from tests.unit.services.router.twins import FakeLedger
from tollway.ledger.v1.ledger_pb2 import AttemptState, RecordAttemptsRequest, RecordedAttempt

IN_FLIGHT = 20
ROUTER = """
import asyncio, os, pathlib, random, sys
from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from tests.unit.services.router.adapters.test_journal_kill import FileLedger
from tests.unit.services.router.twins import attempt, ended
from mesh.ids import uuid7

async def client(journal, calls):
    while True:
        one = attempt(attempt_id=uuid7(SystemClock().time()))
        number = await journal.opened(one)
        os.write(calls, one.attempt_id.encode() + b"\\n")
        await asyncio.sleep(random.random() / 100)
        journal.settled(number, ended(one))

async def main(directory):
    clock = SystemClock()
    journal = SqliteJournal.create(directory / "journal", clock, 1.0)
    calls = os.open(directory / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    Shipper(journal, Recorder(FileLedger(directory / "ledger"), clock, NoTracer()), clock, NoMetrics(), 0.01)
    print("running", flush=True)
    await asyncio.gather(*(client(journal, calls) for _ in range(int(sys.argv[2]))))

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


class FileLedger(FakeLedger):
    """Keeps what it booked in a file, so that it is there when its process is not."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("ab", buffering=0)

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        self._file.write(b"".join(f"{each.attempt_id} {each.state}\n".encode() for each in request.attempts))
        return await super().record(request, timeout, trace)


def run_and_kill(directory: Path) -> None:
    arguments = [sys.executable, "-c", ROUTER, str(directory), str(IN_FLIGHT)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        time.sleep(random.uniform(0.05, 0.25))
        process.kill()


async def adopt(directory: Path) -> None:
    clock = VirtualClock()
    journal = SqliteJournal.create(directory / "journal", clock, 1.0)
    ledger = FileLedger(directory / "ledger")
    adoption = Adoption(journal.file, Recorder(ledger, clock, NoTracer()), ledger.give_back, clock)
    for _ in range(3):
        await clock.advance(SWEEP_EVERY)
    await adoption.close()
    await journal.close()


def states(directory: Path) -> dict[str, int]:
    """How far each attempt has come in the books, whoever sent it."""
    furthest: dict[str, int] = {}
    for line in (directory / "ledger").read_text().splitlines():
        identifier, _, state = line.partition(" ")
        furthest[identifier] = max(furthest.get(identifier, 0), int(state))
    return furthest


def test_after_every_kill_each_call_has_a_row_and_rows_without_a_call_are_unsettled(tmp_path: Path) -> None:
    kills = 3
    for _ in range(kills):
        run_and_kill(tmp_path)
    asyncio.run(adopt(tmp_path))
    calls = (tmp_path / "calls").read_text().split()
    booked = states(tmp_path)
    assert len(calls) == len(set(calls)) > kills * IN_FLIGHT
    assert set(calls) <= booked.keys()
    without_call = {state for identifier, state in booked.items() if identifier not in set(calls)}
    assert without_call <= {AttemptState.ATTEMPT_STATE_UNSETTLED}
    unsettled = [state for state in booked.values() if state == AttemptState.ATTEMPT_STATE_UNSETTLED]
    assert len(unsettled) <= kills * IN_FLIGHT
    assert AttemptState.ATTEMPT_STATE_OPENED not in booked.values()
    assert not list((tmp_path / "journal").iterdir())
