from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.processes import TOPOLOGIES, Mesh


@pytest.fixture(scope="session", params=list(TOPOLOGIES))
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh with no configuration, shared by all tests of a topology."""
    mesh = TOPOLOGIES[request.param](tmp_path_factory.mktemp("mesh"))
    try:
        mesh.wait_until_ready()
        yield mesh
    finally:
        statuses = mesh.stop()
    assert statuses == dict.fromkeys(statuses, 0), mesh.logs()
