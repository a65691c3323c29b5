"""Plays the model's script inside the process: the transport of the built-in provider."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from mesh.clock import Clock
from services.providers.adapters.sim.script import End, Head, Model, Pause, Step, Steps, following
from services.providers.domain.failures import cut, silent, unreachable
from services.providers.domain.wire import Limits, Outgoing

CUTS = (End.CUT, End.RESET)


class MemoryTransport:
    """Implements `ports.Transport`."""

    def __init__(self, model: Model, clock: Clock) -> None:
        self._model, self._clock = model, clock

    async def open(self, call: Outgoing, limits: Limits) -> MemoryAnswer:
        if call.method == "GET":
            return MemoryAnswer(Head(200, {}), iter(()), self._clock)  # it is there
        path, kind = urlsplit(call.url).path.removeprefix("/v1"), call.headers.get("content-type", "")
        steps = self._model.script(call.body, call.headers.get("x-client-request-id", ""), path, kind)
        deadline = None if limits.headers is None else self._clock.monotonic() + limits.headers
        try:
            while (step := await following(steps)) is not None:
                if isinstance(step, Head):
                    return MemoryAnswer(step, steps, self._clock)
                await pass_time(step, deadline, self._clock)
        except TimeoutError:
            raise silent("headers", limits.headers or 0.0) from None
        raise unreachable("the connection to the provider was lost before it answered: the sim reset it")


class MemoryAnswer:
    """Implements `ports.Answer`."""

    def __init__(self, head: Head, steps: Steps, clock: Clock) -> None:
        self.status: int = head.status
        self.headers: Mapping[str, str] = head.headers
        self._steps, self._clock = steps, clock

    async def read(self, deadline: float | None) -> bytes:
        # A model without a pace is never waited for; others must have their turn all the same.
        await asyncio.sleep(0)
        while (step := await following(self._steps)) is not None:
            if isinstance(step, bytes):
                return step
            if step in CUTS:
                raise cut("the provider's answer broke off: the sim cut it")
            await pass_time(step, deadline, self._clock)
        return b""

    async def finish(self) -> None:
        """There is no connection to keep."""

    def close(self) -> None:
        self._steps = iter(())


async def pass_time(step: Step, deadline: float | None, clock: Clock) -> None:
    """Waits as long as a pause lasts, or for ever. Raises TimeoutError when that is beyond the deadline."""
    if isinstance(step, Pause):
        left = float("inf") if deadline is None else deadline - clock.monotonic()
        await clock.sleep(max(min(step.seconds, left), 0.0))
        if step.seconds > left:
            raise TimeoutError
    elif step is End.HANG:
        async with clock.timeout(None if deadline is None else deadline - clock.monotonic()):
            await asyncio.get_running_loop().create_future()
