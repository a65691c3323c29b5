"""What routing is worth in a brownout: `make bench-brownout`, or python -m bench.brownout.

One of three deployments comes and goes: 20 times slower, a fifth of its calls failing (`bench.brownout_upstream`).
Streams arrive open loop, the same ones at the same moments for every system in turn: no gateway (each client asks one
of the three by lot), the gateway asking in order (the ailing one first), by peak-EWMA, and by peak-EWMA with hedging.
A stream is a success where its finish and end mark came; time to first token counts from the moment it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench.systems import BenchError, Command, free_port, running

UNROUTED, ORDERED, EWMA, HEDGED = "no gateway", "ordered", "peak-EWMA", "peak-EWMA, hedged"
MODELS: Mapping[str, Mapping[str, Any]] = {
    ORDERED: {"strategy": "ordered"},
    EWMA: {"strategy": "latency"},
    HEDGED: {"strategy": "latency", "hedge": {"after": "p95", "budget": "5%"}},
}
_TOLLWAY = (sys.executable, "-m", "tollway_cli")
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all streams of a system: times to first token in ms, of those that succeeded."""

    system: str
    asked: int
    first_tokens: Sequence[float]
    calls: int
    """Upstream."""

    @property
    def success(self) -> float:
        return len(self.first_tokens) / self.asked

    def percentile(self, share: float) -> float:
        """Over all that were asked: a stream that failed took for ever."""
        times = sorted(self.first_tokens) + [float("inf")] * (self.asked - len(self.first_tokens))
        return times[round((len(times) - 1) * share)]

    @property
    def served_p99(self) -> float:
        """Over those that succeeded."""
        return sorted(self.first_tokens)[round((len(self.first_tokens) - 1) * 0.99)]

    @property
    def extra(self) -> float:
        """Calls beyond one a stream, as a share."""
        return self.calls / self.asked - 1


def table(outcomes: Sequence[Outcome]) -> str:
    """The Markdown table. `× better` compares the p99 of what succeeded with that of no gateway."""
    unrouted = next(outcome for outcome in outcomes if outcome.system == UNROUTED)
    lines = [
        "| | answered | p50 ms | p99 ms | × better | extra calls |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for outcome in outcomes:
        better = unrouted.served_p99 / outcome.served_p99
        lines.append(
            f"| {outcome.system} | {outcome.success:.1%} | {outcome.percentile(0.5):.0f} | {outcome.served_p99:.0f} "
            f"| {better:.1f} | {max(outcome.extra, 0.0):.1%} |"
        )
    return "\n".join(lines)


def promises(outcomes: Sequence[Outcome]) -> list[tuple[str, bool]]:
    """What the project promises, and whether it held."""
    by = {outcome.system: outcome for outcome in outcomes}
    p99 = by[UNROUTED].served_p99
    return [
        ("peak-EWMA: p99 at least 2 times better than no gateway", p99 / by[EWMA].served_p99 >= 2),
        ("hedged: p99 at least 3 times better than no gateway", p99 / by[HEDGED].served_p99 >= 3),
        ("hedged: at most 5% extra calls", by[HEDGED].extra <= 0.05),
        ("hedged: nobody goes without an answer", by[HEDGED].success == 1),
    ]


async def _ask(session: aiohttp.ClientSession, url: str, model: str, due: float) -> float | None:
    """Milliseconds to the first token, None for a stream that failed."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(due - loop.time(), 0))
    question = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    first, body = None, b""
    try:
        async with session.post(f"{url}/v1/chat/completions", json=question) as answer:
            if answer.status != 200:
                return None
            async for piece in answer.content.iter_any():
                body += piece
                if first is None and b" tok" in body:
                    first = (loop.time() - due) * 1000
    except (aiohttp.ClientError, TimeoutError):
        return None
    return first if b"[DONE]" in body else None


async def _load(system: str, urls: Sequence[str], upstream: str, options: argparse.Namespace) -> Outcome:
    """Every system gets the same arrivals and, upstream, the same weather."""
    lots = random.Random(options.seed)
    timeout, connector = aiohttp.ClientTimeout(total=_PATIENCE), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        async with session.post(f"{upstream}/start"):
            pass
        due, begin, asking = 0.0, asyncio.get_running_loop().time(), []
        while (due := due + lots.expovariate(options.rate)) < options.secs:
            asking.append(asyncio.create_task(_ask(session, lots.choice(urls), system, begin + due)))
        took = await asyncio.gather(*asking)
        async with session.get(f"{upstream}/count") as answer:
            calls = sum((await answer.json()).values())
    return Outcome(system, len(took), [each for each in took if each is not None], calls)


def _config(folder: Path, ports: Sequence[int]) -> str:
    providers = {name: {"base_url": f"http://127.0.0.1:{port}/v1"} for name, port in zip("abc", ports, strict=True)}
    deployments = [{"provider": name, "model": "m"} for name in providers]
    # The first question, which shows that the gateway answers, is not asked of the three.
    models: dict[str, Any] = {"mock": {"deployments": [{"provider": "sim", "model": "sim"}]}}
    models |= {name: {**how, "deployments": deployments} for name, how in MODELS.items()}
    config = {
        "providers": {**providers, "sim": {"dialect": "sim"}},
        "models": models,
        "prices": [{"provider": name, "input": "$0.10", "output": "$0.40"} for name in providers],
        "telemetry": {"sample": 0},
    }
    path = folder / "tollway.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return str(path)


def measure(options: argparse.Namespace) -> list[Outcome]:
    """All systems in turn. Raises BenchError where the gateway does not answer."""
    ports = [free_port() for _ in range(3)]
    upstream = f"http://127.0.0.1:{ports[0]}"
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="tollway-brownout-") as name, ExitStack() as stack:
        folder, http = Path(name), free_port()
        up: Command = [
            *_TOLLWAY, "up", "--port", str(http), "--grpc-port", str(free_port()), "--data-dir", f"{folder}/data",
            "--config", _config(folder, ports),
        ]  # fmt: skip
        behind: Command = [sys.executable, "-m", "bench.brownout_upstream", str(options.seed), *map(str, ports)]
        stack.enter_context(running("brownout", http, {"upstream": behind, "tollway": up}, folder))
        for system in (UNROUTED, ORDERED, EWMA, HEDGED):
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            if system != UNROUTED:
                urls = [f"http://127.0.0.1:{http}"] * 3  # as many, so that the lots fall alike
            outcomes.append(uvloop.run(_load(system, urls, upstream, options)))
            print(f"{system}: {outcomes[-1].success:.1%}, p99 {outcomes[-1].served_p99:.0f} ms", file=sys.stderr)
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench-brownout", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--secs", type=float, default=40.0, help="how long each system is asked")
    parser.add_argument("--rate", type=float, default=60.0, help="streams a second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a promise is not held")
    options = parser.parse_args(arguments)
    try:
        outcomes = measure(options)
    except BenchError as error:
        print(f"bench-brownout: {error}", file=sys.stderr)
        return 2
    promised = promises(outcomes)
    print(table(outcomes), *(f"{'held' if held else 'MISSED':6} {promise}" for promise, held in promised), sep="\n")
    return int(options.check and not all(held for _, held in promised))


if __name__ == "__main__":
    sys.exit(main())
