"""A primary that is down for a minute and then healthy, under steady load, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import Hang, Item, Pause, Script, error, role, streamed, text
from tollway.router.v1.router_pb2 import Receipt

EVERY = 0.25
OUTAGE = 60.0
OPEN_FOR = BreakerPolicy().open_for
PER_INTERVAL = int(OPEN_FOR / EVERY)

REFUSING = error(Reason.UPSTREAM_UNREACHABLE)
FAILING = error(Reason.UPSTREAM_FAILED, upstream_status="503")
BUSY = error(Reason.UPSTREAM_RATE_LIMITED, upstream_status="429")
FORBIDDING = error(Reason.UPSTREAM_CREDENTIALS, upstream_status="401")
CUTTING: list[Item] = [role(), text("Hel"), error(Reason.UPSTREAM_CUT, upstream_status="200")]
SILENT: list[Item] = [error(Reason.UPSTREAM_SILENT)]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
outages = pytest.mark.parametrize(
    "outage",
    [REFUSING, FAILING, BUSY, FORBIDDING, CUTTING, SILENT],
    ids=["refusing", "failing", "busy", "forbidding", "cutting", "silent"],
)


async def load(bench: Bench, stream: bool, seconds: float) -> list[asyncio.Task[tuple[str, Receipt]]]:
    """Questions one after the other, whether or not those before have been answered."""
    asked = []
    for _ in range(int(seconds / EVERY)):
        asked.append(bench.ask(stream))
        await bench.clock.advance(EVERY)
    return asked


@both
@outages
async def test_everybody_is_served_the_primary_sees_few_probes_and_is_back_within_one_interval(
    bench: Bench, stream: bool, outage: Script
) -> None:
    bench.deploy(Deployment("primary", "m"), Deployment("backup", "m"), primary=[streamed()], backup=[streamed()])
    before = await load(bench, stream, 10)

    bench.providers.scripts["primary/m"] = [outage]
    calls = len(bench.providers.calls)
    during = await load(bench, stream, OUTAGE)
    probes = bench.providers.asked()[calls:].count("primary/m")

    bench.providers.scripts["primary/m"] = [streamed()]
    after = await load(bench, stream, 2 * OPEN_FOR)
    await bench.clock.advance(30)

    answers = [await each for each in (*before, *during, *after)]
    assert {words for words, _ in answers} == {"Hello"}
    # Five failures open the breaker, a few calls were under way then, and every half minute there is one probe.
    assert probes <= 5 + 4 + OUTAGE / OPEN_FOR
    back = [receipt.deployment for _, receipt in answers[-len(after) :]]
    assert back.index("primary/m") <= PER_INTERVAL
    assert set(back[PER_INTERVAL:]) == {"primary/m"}
    assert bench.fleet.standing("primary/m").in_flight == 0
    assert len(bench.journal.rows) == len(bench.providers.calls)


@both
async def test_a_primary_that_accepts_and_says_nothing_costs_few_clients_their_patience(
    bench: Bench, stream: bool
) -> None:
    """Its silence ends by the limits of the provider service, which are two seconds here."""
    quiet: list[Item] = [Pause(2), error(Reason.UPSTREAM_SILENT)]
    bench.deploy(Deployment("primary", "m"), Deployment("backup", "m"), primary=[quiet], backup=[streamed()])
    asked = await load(bench, stream, OUTAGE)
    await bench.clock.advance(5)
    answers = [await each for each in asked]
    assert {receipt.deployment for _, receipt in answers} == {"backup/m"}
    assert sum(receipt.attempts > 1 for _, receipt in answers) <= 5 + 2 / EVERY + OUTAGE / OPEN_FOR


@both
async def test_a_lone_deployment_that_is_down_answers_the_first_question_after_its_probe(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(primary=[FAILING])
    during = await load(bench, stream, OUTAGE)
    bench.providers.scripts["primary/m"] = [streamed()]
    after = await load(bench, stream, 2 * OPEN_FOR)
    await bench.clock.advance(10)
    for each in during:
        failure = each.exception()
        assert failure is None or getattr(failure, "reason", None) in (
            Reason.UPSTREAM_FAILED,
            Reason.NO_DEPLOYMENT_READY,
        )
    served = [each.exception() is None for each in after]
    assert served.index(True) <= PER_INTERVAL
    assert all(served[PER_INTERVAL:])
    assert bench.providers.asked().count("primary/m") < len(during) / 4 + len(after)


@both
async def test_clients_that_leave_during_the_outage_keep_no_probe_for_themselves(bench: Bench, stream: bool) -> None:
    bench.deploy(Deployment("primary", "m"), Deployment("backup", "m"), primary=[FAILING], backup=[streamed()])
    await load(bench, stream, 5)
    bench.providers.scripts["primary/m"] = [Hang()]
    await bench.clock.advance(OPEN_FOR)
    for _ in range(5):
        leaving = bench.ask(stream)
        await bench.clock.advance(EVERY)
        leaving.cancel()
        await asyncio.wait([leaving])
    bench.providers.scripts["primary/m"] = [streamed()]
    (answered,) = await load(bench, stream, EVERY)
    assert (await answered)[1].deployment == "primary/m"
