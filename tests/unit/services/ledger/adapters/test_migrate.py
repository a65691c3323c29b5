from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import attempt


async def test_starting_again_keeps_what_is_there(start_ledger: StartLedger) -> None:
    await (await start_ledger()).record(attempt())
    again = await start_ledger()
    assert again.sql("SELECT count(*) FROM request_logs") == [(1,)]
    assert again.sql("SELECT count(*) FROM model_pricing") == [(4,)]


async def test_ledgers_that_start_at_once_on_a_new_file_migrate_it_once(settings: LedgerSettings) -> None:
    for number in range(3):
        here = LedgerSettings(settings.database.with_name(f"{number}.db"))
        runtimes = await asyncio.gather(
            *(start(here, clock=VirtualClock(), tracer=NoTracer(), metrics=NoMetrics()) for _ in range(4))
        )
        for runtime in runtimes:
            await runtime.close()


async def test_a_database_of_a_newer_version_is_left_alone_with_a_word_why(
    ledger: Ledger, start_ledger: StartLedger
) -> None:
    async with ledger.runtime._store.transaction():
        await ledger.runtime._store.execute_many("UPDATE alembic_version SET version_num = '9999'", [()])
    with pytest.raises(TollwayError, match=r"has schema 9999, .* newer") as raised:
        await start_ledger()
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_a_migration_that_fails_leaves_nothing_behind(
    settings: LedgerSettings, start_ledger: StartLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.bulk_insert", fail)
        with pytest.raises(RuntimeError, match="out of luck"):
            await start_ledger()
    assert (await start_ledger()).sql("SELECT count(*) FROM model_pricing") == [(4,)]


async def test_a_start_without_migrations_does_without_alembic(ledger: Ledger) -> None:
    program = f"""
import asyncio, pathlib, sys
from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerSettings, start

async def main():
    settings = LedgerSettings(pathlib.Path({str(ledger.database)!r}))
    ledger = await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    await ledger.close()

asyncio.run(main())
print("alembic" in sys.modules)
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "False\n"
