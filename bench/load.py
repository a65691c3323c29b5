"""A load generator for OpenAI-compatible endpoints, for machines without a compiler: `load.rs` in Python, same face.

python -m bench.load HOST:PORT [--path /v1/chat/completions] [--conns 32] [--secs 10] [--stream] [--rate R]
                               [--model M] [--header 'K: V']... [--body FILE] [--prompt-bytes N] [--n-requests N]

Closed loop, or open with --rate: then the n-th request is due at n / rate, and waiting counts as latency. Prints one
JSON line: completed, errors by kind, req/s, tokens/s, latency and time-to-first-token percentiles (ms).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import uvloop


class Failed(Exception):
    """A request that was not answered whole with 200. The message is its kind."""


@dataclass(slots=True)
class Tally:
    """Milliseconds, and counts."""

    latency: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    widest_gap: list[float] = field(default_factory=list)
    tokens: int = 0
    events: int = 0
    errors: Counter[str] = field(default_factory=Counter)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _chunks(reader: asyncio.StreamReader, tally: Tally, started: float) -> bytes:
    body, first, last, gap = b"", 0.0, started, 0.0
    while size := int(await reader.readline(), 16):
        piece = (await reader.readexactly(size + 2))[:-2]
        body += piece
        tally.events += piece.count(b"data: ")
        if tokens := piece.count(b'"content"'):
            now = perf_counter()
            gap = max(gap, now - last) if first else 0.0
            first, last = first or now, now
            tally.tokens += tokens
    await reader.readexactly(2)
    if first:
        tally.first_token.append((first - started) * 1e3)
        tally.widest_gap.append(gap * 1e3)
    return body


async def _one(connection: Connection, request: bytes, stream: bool, tally: Tally, started: float) -> bool:
    """One exchange; whether the connection may be used again. Raises Failed, or what a broken connection raises."""
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
    if headers.get(b"transfer-encoding") == b"chunked":
        body = await _chunks(reader, tally, started)
    else:
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    status = lines[0].split(b" ")[1].decode()
    if status != "200":
        raise Failed(f"http{status}")
    if stream and b"[DONE]" not in body:
        raise Failed("nodone")
    tally.latency.append((perf_counter() - started) * 1e3)
    return headers.get(b"connection") != b"close"


async def _client(
    options: argparse.Namespace, origin: float, request: bytes, numbers: itertools.count[int], tally: Tally
) -> None:
    host, port = options.target.rsplit(":", 1)
    connection: Connection | None = None
    for n in numbers:
        if options.n_requests and n >= options.n_requests:
            break
        started = perf_counter()
        if options.rate:
            due = origin + n / options.rate
            await asyncio.sleep(max(0.0, due - started))
            started = due
        if perf_counter() >= origin + options.secs:
            break
        try:
            connection = connection or await asyncio.open_connection(host, int(port))
            reusable = await _one(connection, request, options.stream, tally, started)
        except Failed as failed:
            tally.errors[str(failed)] += 1
            continue
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as broken:
            tally.errors[type(broken).__name__] += 1
            reusable = False
            await asyncio.sleep(0.005)
        if not reusable and connection:
            connection[1].close()
            connection = None
    if connection:
        connection[1].close()


def _request(options: argparse.Namespace) -> bytes:
    question = {
        "model": options.model,
        "messages": [{"role": "user", "content": "hello " * (options.prompt_bytes // 6)}],
    }
    if options.stream:
        question |= {"stream": True, "stream_options": {"include_usage": True}}
    body = Path(options.body).read_bytes() if options.body else json.dumps(question, separators=(",", ":")).encode()
    headers = ["Content-Type: application/json", "Authorization: Bearer sk-bench", *options.header]
    lines = [f"POST {options.path} HTTP/1.1", f"Host: {options.target}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    values.sort()
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(values[round((len(values) - 1) * share)], 3) for name, share in at.items()}


async def load(options: argparse.Namespace) -> dict[str, object]:
    """The figures of one run, as they are printed."""
    tally, numbers, request, origin = Tally(), itertools.count(), _request(options), perf_counter()
    await asyncio.gather(*(_client(options, origin, request, numbers, tally) for _ in range(options.conns)))
    seconds = perf_counter() - origin
    return {
        "done": len(tally.latency),
        "rps": round(len(tally.latency) / seconds, 1),
        "tokens_per_s": round(tally.tokens / seconds),
        "events": tally.events,
        "errors": dict(tally.errors),
        "lat_ms": _percentiles(tally.latency),
        "ttft_ms": _percentiles(tally.first_token),
        "max_gap_ms": _percentiles(tally.widest_gap),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load")
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--conns", type=int, default=32)
    parser.add_argument("--secs", type=float, default=10.0)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--model", default="mock")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--body", default="")
    parser.add_argument("--prompt-bytes", type=int, default=60)
    parser.add_argument("--n-requests", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(load(parse()))))
