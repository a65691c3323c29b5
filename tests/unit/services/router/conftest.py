from __future__ import annotations

import pytest

from tests.unit.services.router.bench import Bench


@pytest.fixture
async def bench() -> Bench:
    return Bench()
