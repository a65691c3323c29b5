"""`tollway sim`: the built-in model alone, over HTTP."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from pydantic import ValidationError

from mesh.config.schema import SimOptions
from mesh.config.wording import say
from services.providers.adapters.sim.server import serve
from tollway_cli.refusal import refuse


def run_sim(host: str, port: int, ttft: str, rate: float, tokens: int) -> None:
    try:
        options = SimOptions.model_validate({"ttft": ttft, "rate": rate, "tokens": tokens})
    except ValidationError as error:
        refuse("; ".join(f"--{problem['loc'][0]} {say(problem)}" for problem in error.errors()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(host, port, options))
        except OSError as error:
            refuse(f"cannot listen on {host}:{port}: {error.strerror or error}")


async def _serve(host: str, port: int, options: SimOptions) -> None:
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    sim = await serve(host, port, options)
    try:
        sys.stdout.write(f"The sim is listening on http://{host}:{sim.port}/v1; its calls: /_sim/calls\n")
        sys.stdout.flush()
        await stopped.wait()
    finally:
        await sim.close()
