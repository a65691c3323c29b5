"""`tollway up --workers N`: several processes that serve the same addresses, and the one that looks after them.

Workers are gateway, router and providers each, with a journal of their own; the kernel spreads connections among them.
This process books for all of them: it has the ledger, which they reach over a socket in the data directory. It also
holds their ports while none of them listens, so that nobody else comes to. A worker that ends is started again. Workers
end when their standard input does, so that none outlives this process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mesh.clock import Clock, SystemClock
from mesh.config.addresses import TcpAddress, parse_address
from mesh.config.schema import Config
from mesh.listening import CannotListen, check_free
from tollway_cli.placement import Placement
from tollway_cli.process import Listening, Node

log = logging.getLogger(__name__)

SHARED_STATE = "sqlite:///{data_dir}/state.db"
"""Where workers share state if nothing else is configured."""

_SERVES = "gateway is listening on "
_LONGEST_SOCKET = 100
"""Bytes of a socket's path; systems take little more."""

_LONGEST_PAUSE = 10.0
_STEADY = 30.0
"""Seconds after which a worker that ends is not one that cannot start."""

_BEYOND_DRAIN = 15.0
"""Seconds that a worker has to end in, beside `http.drain`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the workers are told: how many, where they listen, and the options they are started with."""

    count: int
    http: str
    grpc: str
    data_dir: Path
    config_file: Path | None


class Workers:
    """Starts and stops like a `Node`, and is one as far as `run` is concerned."""

    def __init__(self, config: Config, plan: Plan) -> None:
        self._plan, self._drain = plan, config.http.drain
        self._clock: Clock = SystemClock()
        self._ledger = f"unix:{plan.data_dir / 'ledger.sock'}"
        self._node = Node(config, Placement(("ledger",), {"ledger": self._ledger}, {}), plan.data_dir)
        self._environment = dict(os.environ)
        if "url" not in config.state.model_fields_set:
            self._environment["TOLLWAY_STATE__URL"] = SHARED_STATE
        self._held: list[socket.socket] = []
        self._processes: dict[int, Process] = {}
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> Listening:
        """Starts the ledger and all workers, and waits until they serve. Raises CannotListen."""
        try:
            if len(self._ledger.encode()) > _LONGEST_SOCKET:
                raise CannotListen(f"{self._ledger} is too long a path for a socket: choose a shorter --data-dir")
            http, grpc = self._hold(self._plan.http), self._hold(self._plan.grpc)
            self._plan.data_dir.mkdir(parents=True, exist_ok=True)
            await self._node.start()
            command = self._command(http, grpc)
            starting = [self._start(number, command) for number in range(1, self._plan.count + 1)]
            urls = await asyncio.gather(*starting)
            for number in self._processes:
                self._keeping.append(asyncio.get_running_loop().create_task(self._keep(number, command)))
            return Listening(urls[0], {"router": grpc, "ledger": self._ledger})
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Drains all workers, then the ledger."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await asyncio.gather(*(self._end(process) for process in self._processes.values()))
        await self._node.stop()
        for each in self._held:
            each.close()

    def _hold(self, address: str) -> str:
        """Takes a port without listening at it; the address, with the port that 0 became. Raises CannotListen."""
        place = parse_address(address)
        if not isinstance(place, TcpAddress):
            raise CannotListen(f"several workers cannot share {address}: give host:port (http.listen, grpc.listen)")
        if not hasattr(socket, "SO_REUSEPORT"):
            raise CannotListen("this system does not let several processes listen at one port: run without --workers")
        if place.port:
            check_free(place)
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
            held = socket.socket(family, kind, protocol)
            self._held.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(where)
        except OSError as error:
            raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from error
        return str(TcpAddress(place.host, held.getsockname()[1]))

    def _command(self, http: str, grpc: str) -> Sequence[str]:
        command = [sys.executable, "-m", "tollway_cli", "serve", "gateway,router,providers", "--worker"]
        command += ["--listen", f"gateway={http},router={grpc}", "--connect", f"ledger={self._ledger}"]
        command += ["--data-dir", str(self._plan.data_dir)]
        return [*command, *(["--config", str(self._plan.config_file)] if self._plan.config_file else [])]

    async def _start(self, number: int, command: Sequence[str]) -> str:
        """Starts a worker and waits until it serves; its URL. Raises CannotListen."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=self._environment, start_new_session=True
        )
        self._processes[number] = process
        assert process.stdout is not None
        while line := (await process.stdout.readline()).decode():
            if line.startswith(_SERVES):
                log.info("worker %d serves, as process %d", number, process.pid)
                return line.removeprefix(_SERVES).strip()
        raise CannotListen(f"worker {number} ended before it served (status {await process.wait()})")

    async def _keep(self, number: int, command: Sequence[str]) -> None:
        """Starts a worker again whenever it ends: at once, and after pauses that grow while it does not last."""
        pause = 0.0
        while True:
            began = self._clock.monotonic()
            status = await self._processes[number].wait()
            if self._clock.monotonic() - began > _STEADY:
                pause = 0.0
            log.error("worker %d ended (status %d); another is started %s", number, status, _when(pause))
            await self._clock.sleep(pause)
            pause = min(2 * pause + 1.0, _LONGEST_PAUSE)
            with suppress(CannotListen, OSError):  # its end is told in the next round
                await self._start(number, command)

    async def _end(self, process: Process) -> None:
        if process.returncode is None:
            process.terminate()
        try:
            async with self._clock.timeout(self._drain + _BEYOND_DRAIN):
                await process.wait()
        except TimeoutError:
            log.error("process %d did not end in time, and was killed", process.pid)
            process.kill()
            await process.wait()


def _when(pause: float) -> str:
    return f"in {pause:g} s" if pause else "now"
