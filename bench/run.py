"""Measures the gateway beside a proxy that does nothing, in one run: `make bench`, or python -m bench.run.

A stand-in provider answers with 20 tokens at once; a load generator keeps 16 connections busy. The bare proxy, the
whole mesh in one process, and the mesh as four processes over unix sockets take short turns, several times over, and
figures are medians of the turns. CPU per request is user plus system time of all of a system's processes, until what
the load left behind is booked too, over requests answered. Tracing is on and samples nothing; journal and ledger
are on, and in the end every answer must have been booked. Machines are noisy, in spells of seconds: turns are short and
many, so that most of them are taken in the same spell as the proxy's they are held against. Trust ratios, not times.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import mediator
from bench.report import ALL_ON, BARE, DIALECTS, FOUR, ONE, Footprint, Results, Round, bars, table
from bench.systems import BenchError, Command, System, free_port, running

HERE = Path(__file__).parent
BUILD = HERE / ".build"
TOLLWAY = (sys.executable, "-m", "tollway_cli")
PRICES = {"provider": "stand-in", "input": "$0.10", "output": "$0.40"}
KEY = "sk-bench"
"""What the load generators show for themselves."""
COST_NANOS = 12 * 100 + 20 * 400  # of one answer, whose usage is always the same


def tool(name: str) -> Command:
    """The command of `load` or `upstream`: compiled where there is a compiler, else its twin in Python."""
    source, binary = HERE / f"{name}.rs", BUILD / name
    if shutil.which("rustc") is None:
        return [sys.executable, "-m", f"bench.{name}"]
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run(["rustc", "-O", str(source), "-o", str(binary)], check=True)
    return [str(binary)]


def bare(port: int, folder: Path, upstream: int) -> Mapping[str, Command]:
    return {"bare": [sys.executable, "-m", "bench.bare", str(port), f"http://127.0.0.1:{upstream}"]}


def one_process(port: int, folder: Path, upstream: int) -> Mapping[str, Command]:
    ports = ("--port", str(port), "--grpc-port", str(free_port()))
    return {"tollway": [*TOLLWAY, "up", *ports, "--data-dir", f"{folder}/data", "--config", _config(folder, upstream)]}


def all_on(port: int, folder: Path, upstream: int) -> Mapping[str, Command]:
    """One process that also asks for a key and holds it to limits, of requests, tokens and concurrency."""
    key = {"name": "bench", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "project": "bench"}
    limits = [
        {"scope": "key:*", "requests": "10000000/s", "tokens": "1000000000/s", "concurrency": 1000},
        {"scope": "project:bench", "requests": "10000000/s"},
    ]
    ports = ("--port", str(port), "--grpc-port", str(free_port()))
    config = _config(folder, upstream, keys=[key], limits=limits)
    return {"tollway": [*TOLLWAY, "up", *ports, "--data-dir", f"{folder}/data", "--config", config]}


def four_processes(port: int, folder: Path, upstream: int) -> Mapping[str, Command]:
    rest = ("--data-dir", f"{folder}/data", "--config", _config(folder, upstream))
    behind = f"providers=unix:{folder}/p.sock,ledger=unix:{folder}/l.sock"

    def serve(name: str, listen: str, *options: str) -> Command:
        return [*TOLLWAY, "serve", name, "--listen", listen, *options, *rest]

    return {
        "ledger": serve("ledger", f"unix:{folder}/l.sock"),
        "providers": serve("providers", f"unix:{folder}/p.sock"),
        "router": serve("router", f"unix:{folder}/r.sock", "--connect", behind),
        "gateway": serve("gateway", f"127.0.0.1:{port}", "--connect", f"router=unix:{folder}/r.sock"),
    }


def _config(folder: Path, upstream: int, **more: object) -> str:
    config = {
        "providers": {"stand-in": {"base_url": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-bench"}},
        "models": {"mock": {"deployments": [{"provider": "stand-in"}]}},
        "prices": [PRICES],
        "telemetry": {"sample": 0},
        **more,
    }
    path = folder / "tollway.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return str(path)


SYSTEMS = {BARE: bare, ONE: one_process, ALL_ON: all_on, FOUR: four_processes}


def load(system: System, dialect: str, conns: int, secs: float) -> tuple[Round, int]:
    """The figures of one load, and how many requests it was. Raises BenchError where any was not answered."""
    stream = ["--stream"] if dialect == "SSE" else []
    command = [*tool("load"), f"127.0.0.1:{system.port}", "--conns", str(conns), "--secs", str(secs), *stream]
    before = system.cpu_seconds()
    told = subprocess.run(command, cwd=HERE.parent, check=True, capture_output=True, text=True).stdout
    system.settle()
    spent, figures = system.cpu_seconds() - before, json.loads(told)
    if figures["errors"] or not figures["done"]:
        raise BenchError(f"{system.name}, {dialect}: {figures['done']} answered, failures {figures['errors']}")
    latency: dict[str, float] = figures["lat_ms"]
    return Round(spent / figures["done"] * 1e6, figures["rps"], latency["p50"], latency["p99"]), figures["done"]


def measure(folder: Path, rounds: int, conns: int, secs: float) -> Results:
    """All systems run side by side, idle but for the one whose turn it is. The first turn of each warms it up."""
    answered = Counter(SYSTEMS.keys())  # the question each is asked at start
    turns: dict[str, dict[str, list[Round]]] = {name: {dialect: [] for dialect in DIALECTS} for name in SYSTEMS}
    with ExitStack() as stack:
        systems = _start(stack, folder)
        idle = {system.name: system.memory_bytes() for system in systems}
        for turn, dialect, system in itertools.product(range(rounds + 1), DIALECTS, systems):
            figures, requests = load(system, dialect, conns, secs)
            answered[system.name] += requests
            print(f"{turn}/{rounds} {system.name}, {dialect}: {figures.cpu_us:,.0f} µs", file=sys.stderr)
            if turn > 0:
                turns[system.name][dialect].append(figures)
        footprints = {s.name: Footprint(idle[s.name] / 1e6, s.memory_bytes() / 1e6, s.first_answer) for s in systems}
    for name in (ONE, ALL_ON, FOUR):
        _check_booked(name, _own(folder, name) / "data" / "ledger.db", answered[name])
    return Results(turns, footprints, asyncio.run(mediator.measure()))


def _start(stack: ExitStack, folder: Path) -> list[System]:
    def start(name: str, port: int, commands: Mapping[str, Command]) -> System:
        return stack.enter_context(running(name, port, commands, _own(folder, name)))

    upstream = free_port()
    _own(folder, "stand-in").mkdir()
    start("stand-in", upstream, {"upstream": [*tool("upstream"), str(upstream)]})
    systems = []
    for name, commands in SYSTEMS.items():
        port, own = free_port(), _own(folder, name)
        own.mkdir()
        systems.append(start(name, port, commands(port, own, upstream)))
    return systems


def _own(folder: Path, name: str) -> Path:
    return folder / name.replace(",", "").replace(" ", "-")


def _check_booked(name: str, ledger: Path, answered: int) -> None:
    with closing(sqlite3.connect(ledger)) as database:
        counted = database.execute("SELECT count(*), count(cost_nanos), total(cost_nanos) FROM request_logs")
        rows, priced, cost = counted.fetchone()
    # The question asked at start may be answered before the ledger first has its prices, which hold from then on.
    if rows != answered or priced < answered - 1 or cost != priced * COST_NANOS:
        raise BenchError(f"{name}: of {answered} answers {rows} are booked, {priced} of them for {cost:.0f} nano-USD")


def _machine() -> dict[str, Any]:
    loaded = "compiled" if shutil.which("rustc") else "Python"
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "load": loaded}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--secs", type=float, default=0.7, help="how long each turn lasts")
    parser.add_argument("--conns", type=int, default=16)
    parser.add_argument("--out", type=Path, default=BUILD / "results.json", help="where the figures go as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a promise is not held")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        try:
            results = measure(Path(folder), options.rounds, options.conns, options.secs)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    promised = bars(results)
    print(table(results), *map(str, promised), f"{_machine()}", sep="\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": _machine(), **asdict(results)}, indent=1) + "\n")
    return int(options.check and not all(bar.held for bar in promised))


if __name__ == "__main__":
    sys.exit(main())
