from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.processes import TOPOLOGIES, Mesh


@pytest.fixture(scope="session")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Mesh]]:
    """Meshes with no configuration, by their topology. Each is started once and runs until all tests are done, because
    starting one takes longer than most tests do.

    A deployment that one test has fail may be left alone in the next: those who count on a failure ask for a model of
    their own, such as `sim/status-429:tokens=5`.
    """
    running: dict[str, Mesh] = {}

    def mesh(topology: str) -> Mesh:
        if topology not in running:
            started = TOPOLOGIES[topology](tmp_path_factory.mktemp("mesh"))
            try:
                started.wait_until_ready()
            except BaseException:  # the next test may have more luck
                started.stop()
                raise
            running[topology] = started
        return running[topology]

    try:
        yield mesh
    finally:
        stopped = [(each, each.stop()) for each in running.values()]
    for each, statuses in stopped:
        assert statuses == dict.fromkeys(statuses, 0), each.logs()


@pytest.fixture(scope="session", params=list(TOPOLOGIES))
def mesh(request: pytest.FixtureRequest, meshes: Callable[[str], Mesh]) -> Mesh:
    """A mesh with no configuration, shared by all tests of a topology."""
    return meshes(request.param)
