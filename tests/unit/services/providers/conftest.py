from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.server import Sim, serve
from tests.unit.services.providers.house import House, open_house


@pytest.fixture
async def sim_server() -> AsyncIterator[Sim]:
    sim = await serve("127.0.0.1", 0, SimOptions())
    yield sim
    await sim.close()


@pytest.fixture
async def house(sim_server: Sim) -> AsyncIterator[House]:
    """The sim in memory as `sim`, and the same over TCP as `remote`."""
    remote = {"base_url": f"http://127.0.0.1:{sim_server.port}/v1", "api_key": "sk-very-secret"}
    async with open_house({"sim": {"dialect": "sim"}, "remote": remote}) as house:
        yield house
