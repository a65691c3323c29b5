"""A process of the mesh: what is placed in it, put together, served, and taken apart in order.

Services start back to front (ledger, providers, router, gateway), so that each finds what it needs, and end front to
back: nobody is let in, what runs is finished, and only then does a service close that another may still need.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import grpc
import uvloop

from mesh.channels import dial
from mesh.clock import Clock, SystemClock
from mesh.config.schema import Config
from mesh.credentials import Admit
from mesh.errors import TollwayError
from mesh.interceptors.guard import Guard
from mesh.listening import CannotListen, channel_credentials, refuse_exposed
from mesh.server import Server
from mesh.service import Service
from mesh.telemetry import Telemetry, configure
from tollway_cli.placement import NAMES, NEEDS, Placement
from tollway_cli.refusal import refuse


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a process came to listen: `url` of the gateway (empty: none here), and each service's gRPC address."""

    url: str
    grpc: Mapping[str, str]


class Runnable(Protocol):
    """What `run` runs."""

    async def start(self) -> Listening: ...

    async def stop(self) -> None: ...


class Node:
    """The services of one process. `start` puts them together, `stop` takes them apart."""

    def __init__(
        self,
        config: Config,
        placement: Placement,
        data_dir: Path,
        *,
        allow_insecure: bool = False,
        share_ports: bool = False,
    ) -> None:
        self._config, self._placement, self._data_dir = config, placement, data_dir
        self._allow_insecure, self._share_ports = allow_insecure, share_ports
        self._clock: Clock = SystemClock()
        self._closing = AsyncExitStack()
        self._services: dict[str, Service] = {}
        self._admit: Admit | None = None

    async def start(self) -> Listening:
        """Starts everything; what was started is stopped again where something cannot be. Raises CannotListen."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Lets nobody in, finishes what runs, and closes everything, front to back."""
        await self._closing.aclose()

    async def _start(self) -> Listening:
        self._refuse_exposed()
        config, closing = self._config, self._closing
        telemetry = configure(config.telemetry, self._placement.service_name, os.environ)
        closing.push_async_callback(telemetry.aclose)
        self._server = Server(
            tracer=telemetry.tracer,
            metrics=telemetry.metrics,
            clock=self._clock,
            max_body=config.http.max_body,
            share_ports=self._share_ports,
        )
        closing.push_async_callback(self._server.close)
        self._channels = self._reach(telemetry)
        for name in reversed(NAMES):
            if name in self._placement.services and name != "gateway":
                service = self._services[name] = await self._start_service(name, telemetry)
                closing.push_async_callback(service.close)
                self._server.add(service)
        closing.push_async_callback(self._server.drain, config.http.drain)
        addresses = await self._listen()
        url = await self._open_gateway(telemetry) if "gateway" in self._placement.services else ""
        return Listening(url, addresses)

    def _reach(self, telemetry: Telemetry) -> dict[str, grpc.aio.Channel]:
        """A channel to every service that one of this process needs: inside the process, or to where it was placed."""
        tls = self._config.grpc.tls
        channels: dict[str, grpc.aio.Channel] = {}
        for name in {need for service in self._placement.services for need in NEEDS[service]}:
            target = self._placement.connect.get(name)
            if target is None:
                channels[name] = self._server.channel()
                continue
            channels[name] = dial(
                target,
                tracer=telemetry.tracer,
                metrics=telemetry.metrics,
                tls=channel_credentials(tls) if tls and not target.startswith("unix:") else None,
                max_body=self._config.http.max_body,
            )
            self._closing.push_async_callback(channels[name].close)
        return channels

    async def _start_service(self, name: str, telemetry: Telemetry) -> Service:
        # Imported as needed: a process that runs one service does not pay for the others' libraries.
        config, data_dir, clock = self._config, self._data_dir, self._clock
        tracer, metrics = telemetry.tracer, telemetry.metrics
        if name == "ledger":
            from services.ledger import bootstrap as ledger
            from services.ledger.settings import LedgerSettings

            booking = LedgerSettings.from_config(config, data_dir)
            return await ledger.start(booking, clock=clock, tracer=tracer, metrics=metrics)
        if name == "providers":
            from services.providers import bootstrap as providers
            from services.providers.settings import ProvidersSettings

            calling = ProvidersSettings.from_config(config, data_dir)
            return await providers.start(calling, clock=clock, tracer=tracer, metrics=metrics)
        from services.router import bootstrap as router
        from services.router.settings import RouterSettings

        routing = await router.start(
            RouterSettings.from_config(config, data_dir),
            providers=self._channels["providers"],
            ledger=self._channels["ledger"],
            clock=clock,
            tracer=tracer,
            metrics=metrics,
        )
        self._admit = routing.admit
        self._server.tell("tollway.state", lambda: not routing.state_is_lost)
        self._server.tell("tollway.journal", lambda: not routing.journal_is_failing)
        self._server.tell("tollway.budgets", lambda: not routing.budgets_are_lost)
        return routing

    async def _listen(self) -> dict[str, str]:
        """Listens at each address once, with all the services that were placed there."""
        bound: dict[str, str] = {}
        for address, names in self._placement.together().items():
            services = [self._services[name] for name in names]
            at = await self._server.listen(
                address,
                services,
                tls=self._config.grpc.tls,
                allow_insecure=self._allow_insecure,
                guard=self._guard(names),
            )
            bound.update(dict.fromkeys(names, at))
        return bound

    def _guard(self, names: Sequence[str]) -> Guard | None:
        """What asks for keys at an address where the router's callers come, who are asked: None: nothing does.

        A service at an address of its own is there for other services, which have no keys.
        """
        if self._admit is None or "router" not in names:
            return None
        others = [proto for name in names if name != "router" for proto in self._services[name].proto_services]
        return Guard(others, self._admit)

    async def _open_gateway(self, telemetry: Telemetry) -> str:
        from gateway_http import bootstrap as gateway_http
        from gateway_http.settings import GatewaySettings

        settings = replace(
            GatewaySettings.from_config(self._config, self._data_dir),
            listen=self._placement.listen["gateway"],
            allow_insecure=self._allow_insecure,
            share_port=self._share_ports,
        )
        gateway = await gateway_http.start(
            settings,
            router=self._channels["router"],
            clock=self._clock,
            tracer=telemetry.tracer,
            metrics=telemetry.metrics,
            metrics_page=telemetry.metrics_page,
        )
        self._closing.push_async_callback(gateway.close)
        return gateway.url

    def _refuse_exposed(self) -> None:
        """Before anything is started or written. Raises CannotListen."""
        keyed = bool(self._config.keys)
        if "gateway" in self._placement.listen:
            from gateway_http.listening import check_address

            check_address(self._placement.listen["gateway"], keyed=keyed, allow_insecure=self._allow_insecure)
        for address, names in self._placement.together().items():
            refuse_exposed(address, self._config.grpc.tls, self._allow_insecure, keyed=keyed and "router" in names)


def run(node: Runnable, announce: Callable[[Listening], None], *, until_input_ends: bool = False) -> None:
    """Runs the node until SIGTERM or SIGINT, then drains it. A second signal ends the process at once.

    With `until_input_ends`, the end of standard input is such a signal, too: whoever started this process is no more.

    What keeps it from starting is told in a sentence, and ends the process with status 2.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(node, announce, until_input_ends))
        except (CannotListen, OSError, ValueError) as error:
            refuse(str(error))
        except TollwayError as error:
            refuse(error.message)


async def _run(node: Runnable, announce: Callable[[Listening], None], until_input_ends: bool) -> None:
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(130)
        stopped.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop)
    if until_input_ends:
        await _at_end_of_input(stopped.set)
    _spare_the_loop()
    starting = asyncio.create_task(node.start())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # told to stop before it served
        starting.cancel()
        await asyncio.wait((starting,))
        return
    try:
        announce(starting.result())
        _spare_the_collector()
        await waiting
    finally:
        waiting.cancel()
        await node.stop()


async def _at_end_of_input(tell: Callable[[], None]) -> None:
    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            tell()

    await asyncio.get_running_loop().connect_read_pipe(Watch, sys.stdin)


def _spare_the_loop() -> None:
    """Keeps the loop from listing the async generators under way, which takes a twentieth of a streamed answer's time.

    The list is there to close, in the end, those that nobody closed. Ours are closed by whoever reads them, and one
    that is dropped all the same is still closed when it is freed.
    """
    sys.set_asyncgen_hooks(firstiter=None)


def _spare_the_collector() -> None:
    """Keeps the cycle collector from going through what stays for ever, and from coming every few requests.

    Nearly all of what a request makes is freed by its reference count; a young collection every fifty thousand
    allocations finds the rest soon enough.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
