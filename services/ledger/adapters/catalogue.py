"""The catalogue, read by a process that ends: see `catalogue_reading`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from google.protobuf.json_format import ParseDict, ParseError

from mesh.errors import Reason, TollwayError
from services.ledger.domain.catalogue import Found, Wanted
from services.ledger.settings import Callee
from tollway.ledger.v1.ledger_pb2 import Price

_READING = "services.ledger.adapters.catalogue_reading"
_TIMEOUT = 30.0


def release() -> str:
    """What catalogue there is: `genai-prices 0.2.3`."""
    return f"genai-prices {version('genai-prices')}"


class Catalogue:
    """Implements `ports.Catalogue` for these providers."""

    def __init__(self, callees: Iterable[Callee]) -> None:
        self._callees = {callee.name: callee for callee in callees}

    @property
    def providers(self) -> Mapping[str, Callee]:
        return self._callees

    async def look_up(self, models: Sequence[tuple[str, str]]) -> Found:
        # In a thread, and not by the loop: uvloop would fork, which gRPC's threads do not like; this does not.
        return await asyncio.to_thread(_read, self._wanted(models))

    def look_up_here(self, models: Sequence[tuple[str, str]]) -> Found:
        """The same, in a process that will not live long."""
        from services.ledger.adapters.catalogue_reading import look_up

        return look_up(self._wanted(models))

    def _wanted(self, models: Sequence[tuple[str, str]]) -> list[Wanted]:
        return [
            Wanted(provider, model, callee.base_url, callee.catalogue_id)
            for provider, model in models
            if (callee := self._callees.get(provider)) is not None
        ]


def _read(wanted: Sequence[Wanted]) -> Found:
    if not wanted:
        return Found([], [])
    try:
        done = subprocess.run(
            [sys.executable, "-m", _READING],
            input=json.dumps(wanted).encode(),
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
        )
        said = json.loads(done.stdout)
        prices = [[ParseDict(price, Price()) for price in model] for model in said["prices"]]
        return Found(prices, said["strangers"])
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _unreadable(last or f"exit status {error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, ParseError) as error:
        raise _unreadable(str(error)) from error


def _unreadable(why: str) -> TollwayError:
    return TollwayError(Reason.SERVICE_UNAVAILABLE, f"the catalogue of prices could not be read: {why}")
