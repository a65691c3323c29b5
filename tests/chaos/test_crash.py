"""Router, ledger, gateway and PostgreSQL are killed at random under load: the book says what the provider says.

The short run is part of every test run. The minute-long ones are `make crash-test`, which prints what they came to;
TOLLWAY_CRASH_SEED chooses another seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.chaos.crash import Run, run

RATE = 40.0
"""Questions a second: what two cores take beside five processes that keep starting."""
SEEDS = [int(seed) for seed in os.environ.get("TOLLWAY_CRASH_SEED", "1 2 3").split()]


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    with postgres.of_its_own() as made:
        if made is None:
            if os.environ.get("CI"):
                pytest.fail(postgres.HOW)
            pytest.skip(postgres.HOW)
        yield made


def check(done: Run) -> None:
    assert done.load.outcomes["answered"] > done.load.asked / 8, done.figures()
    assert {kill.victim for kill in done.kills} == {"gateway", "router", "router2", "ledger", "postgres"}
    assert done.twice == []
    assert done.rowless == []
    assert done.settled_without_call == []
    assert done.wrong_amounts == []
    assert done.lost_by_nobody == []
    assert done.audit.returncode == 0, done.audit.stdout + done.audit.stderr


@pytest.mark.timeout(180)
async def test_whatever_is_killed_every_call_has_its_row_and_its_amount(
    server: postgres.Server, tmp_path: Path
) -> None:
    check(await run(server, tmp_path, seconds=14, rate=RATE, seed=7))


@pytest.mark.minute
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_for_a_minute_whatever_is_killed_every_call_has_its_row_and_its_amount(
    server: postgres.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    done = await run(server, tmp_path, seconds=60, rate=RATE, seed=seed)
    with capsys.disabled():
        print(f"\nseed {seed}\n{done.figures()}")
    check(done)
