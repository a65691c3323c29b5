"""One budget, four routers, thousands of requests at once: it is used up, and not overspent by a nano-dollar."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from mesh.errors import Reason, TollwayError
from mesh.status import from_rpc_error
from tests.chaos.long_tail import HIDDEN_TOKENS
from tests.e2e.processes import ROOT, Process, clean_environment, free_port
from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import budget_pb2, ledger_pb2, ledger_pb2_grpc
from tollway.router.v1 import router_pb2, router_pb2_grpc

ROUTERS = 4
INPUT, OUTPUT = 100_000_000, 1_000_000_000
"""Nano-USD per 1M tokens: $0.10 and $1.00."""
QUIET = 4.0
"""Seconds without a single answer, while all keep asking, after which the budget is used up."""


@dataclass(frozen=True)
class Size:
    """How large it is: `limit` in nano-USD, `clients` that ask all the time, and seconds it may take."""

    limit: int
    clients: int
    seconds: float


@dataclass
class Mesh:
    """Four routers beside one ledger, and a provider."""

    routers: list[str]
    ledger: str
    provider: int
    processes: list[Process] = field(default_factory=list)

    def made(self) -> dict[str, int]:
        """Tokens that the provider made, by call."""
        with urlopen(f"http://127.0.0.1:{self.provider}/made") as answer:
            made: dict[str, int] = json.load(answer)
            return made

    def logs(self) -> str:
        return "\n".join(f"--- {process.name}\n{process.log.read_text()[-4000:]}" for process in self.processes)


@contextmanager
def mesh(folder: Path, limit: int) -> Iterator[Mesh]:
    port = free_port()
    config = folder / "tollway.yaml"
    config.write_text(
        f'providers: {{far: {{base_url: "http://127.0.0.1:{port}/v1"}}}}\n'
        "models:\n"
        "  thinks: {deployments: [{provider: far}]}\n"  # for all that is known
        "  speaks: {deployments: [{provider: far, can: [tools]}]}\n"
        "defaults: {timeouts: {first_token: 60s, headers: 60s}}\n"
        f"prices: [{{provider: far, input: ${INPUT / 1e9}, output: ${OUTPUT / 1e9}}}]\n"
        f"budgets: [{{scope: 'project:default', limit: ${limit / 1e9}, window: total}}]\n"
    )
    with (folder / "provider.log").open("wb") as log:  # it complains of every call that is cut
        command = [sys.executable, "-m", "tests.chaos.long_tail", str(port)]
        upstream = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    ledger = f"unix:{folder}/ledger.sock"
    options = ["--data-dir", str(folder / "data"), "--config", str(config)]
    made = Mesh([f"unix:{folder}/router-{number}.sock" for number in range(ROUTERS)], ledger, port)
    made.processes.append(Process("ledger", ["serve", "ledger", "--listen", ledger, *options], folder,
                                  clean_environment()))  # fmt: skip
    for number, target in enumerate(made.routers):
        command = ["serve", "router,providers", "--listen", f"router={target}", "--connect", f"ledger={ledger}"]
        made.processes.append(Process(f"router-{number}", [*command, *options], folder, clean_environment()))
    for process in made.processes:
        process.start()
    try:
        yield made
    finally:
        for process in reversed(made.processes):
            process.stop()
        upstream.kill()
        upstream.wait()


class Demand:
    """Clients that ask, whole and streamed, a model that may think unheard and one that does not, again and again."""

    def __init__(self, routers: list[str], clients: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.last_answer = time.monotonic()
        self._clients = clients
        self._channels = [grpc.aio.insecure_channel(target) for target in routers for _ in range(2)]

    async def until_quiet(self, limit: float) -> float:
        """Asks until nobody has been answered for a while; the seconds until the last answer."""
        began = self.last_answer = time.monotonic()
        tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        while time.monotonic() - began < limit and time.monotonic() - self.last_answer < QUIET:
            await asyncio.sleep(0.2)
            if any(task.done() for task in tasks):
                break
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()
        for failure in ended:
            if not isinstance(failure, asyncio.CancelledError):
                raise AssertionError(f"a client failed: {failure!r}")
        return self.last_answer - began

    async def _client(self, number: int) -> None:
        router = router_pb2_grpc.RouterServiceStub(self._channels[number % len(self._channels)])
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Tell me all of it.")])
        chat = chat_pb2.ChatRequest(model="thinks" if number % 4 < 2 else "speaks", messages=[message])
        while True:
            kind = f"{chat.model}, {'streamed' if number % 2 else 'whole'}"
            try:
                await (self._stream(router, chat) if number % 2 else self._whole(router, chat))
            except grpc.aio.AioRpcError as error:
                await self._refused(kind, from_rpc_error(error))
                continue
            self.outcomes[f"{kind}: answered"] += 1
            self.last_answer = time.monotonic()

    async def _stream(self, router: router_pb2_grpc.RouterServiceAsyncStub, chat: chat_pb2.ChatRequest) -> None:
        finished = False
        async for part in router.StreamChatCompletion(router_pb2.StreamChatCompletionRequest(chat=chat), timeout=60):
            finished = finished or any(delta.finish_reason for delta in part.chunk.deltas)
        assert finished, "an OK stream without a finish"

    async def _whole(self, router: router_pb2_grpc.RouterServiceAsyncStub, chat: chat_pb2.ChatRequest) -> None:
        answer = await router.CreateChatCompletion(router_pb2.CreateChatCompletionRequest(chat=chat), timeout=60)
        assert answer.chat.choices[0].finish_reason == chat_pb2.FINISH_REASON_STOP
        assert answer.receipt.cost_nanos > 0

    async def _refused(self, kind: str, failure: TollwayError) -> None:
        self.outcomes[f"{kind}: {failure.reason}"] += 1
        expected = (Reason.BUDGET_EXCEEDED, Reason.RESERVATION_EXCEEDED)
        assert failure.reason in expected, failure
        await asyncio.sleep(0.25)


async def spent(ledger: str) -> tuple[budget_pb2.BudgetStanding, list[ledger_pb2.Attempt]]:
    """How the budget stands once everything is booked, and all rows."""
    async with grpc.aio.insecure_channel(ledger) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        rows: list[ledger_pb2.Attempt] = []
        for _ in range(50):
            budgets = await stub.ListBudgets(budget_pb2.ListBudgetsRequest())
            rows = []
            token = ""
            while True:
                page = await stub.ListUsage(ledger_pb2.ListUsageRequest(page_size=1000, page_token=token))
                rows += page.attempts
                token = page.next_page_token
                if not token:
                    break
            if all(row.state != ledger_pb2.ATTEMPT_STATE_OPENED for row in rows):
                return budgets.standings[0], rows
            await asyncio.sleep(0.2)
    raise AssertionError("some attempts have no end")


async def overspend(folder: Path, size: Size) -> None:
    with mesh(folder, size.limit) as routers:
        demand = Demand(routers.routers, size.clients)
        for target in routers.routers:
            async with grpc.aio.insecure_channel(target) as channel:
                await asyncio.wait_for(channel.channel_ready(), 30)
        try:
            took = await demand.until_quiet(size.seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{demand.outcomes}\n{routers.logs()}") from error
        await asyncio.sleep(1.0)
        standing, rows = await spent(routers.ledger)
        made = routers.made()
    reported = {row.attempt_id: row for row in rows if row.provenance == ledger_pb2.PROVENANCE_PROVIDER_REPORTED}
    cut = {row.attempt_id: row for row in rows if row.error_reason == Reason.BUDGET_EXCEEDED}
    cost = sum(row.cost_nanos for row in rows)
    hidden = sum(row.usage.reasoning_tokens for row in rows)
    unheard = sum(made[call] - row.usage.output_tokens for call, row in cut.items())
    print(
        f"\n{size.clients} clients at {ROUTERS} routers, ${size.limit / 1e9:.2f}: ${cost / 1e9:.6f} spent "
        f"({cost / size.limit:.2%}) in {took:.1f} s; {len(rows)} calls ({len(rows) / max(took, 0.1):.0f}/s), "
        f"{hidden} tokens hidden; {len(cut)} calls cut, of which the provider made {unheard} tokens more than were "
        f"counted.\n{dict(sorted(demand.outcomes.items()))}\n"
        f"unleased {standing.unleased_nanos}, granted at the end {standing.granted_nanos}"
    )
    assert made.keys() == {row.attempt_id for row in rows}
    assert all(made[call] == row.usage.output_tokens for call, row in reported.items())
    assert reported.keys() | cut.keys() == made.keys()
    assert cost <= size.limit
    assert standing.spent_nanos == cost
    assert standing.unleased_nanos == 0
    assert cost >= 0.95 * size.limit
    assert hidden >= HIDDEN_TOKENS


async def test_a_budget_is_used_up_and_not_overspent(tmp_path: Path) -> None:
    await overspend(tmp_path, Size(100_000_000, 300, 60.0))


@pytest.mark.minute
@pytest.mark.timeout(300)
async def test_a_dollar_is_used_up_and_not_overspent_by_two_thousand_at_once(tmp_path: Path) -> None:
    await overspend(tmp_path, Size(1_000_000_000, 2000, 150.0))
