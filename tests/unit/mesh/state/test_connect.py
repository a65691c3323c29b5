from __future__ import annotations

from pathlib import Path

import pytest

from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.state.connect import State, connect
from mesh.state.memory import MemoryStore
from mesh.state.store import Draw, Rate


async def connected(url: str, local: bool = True) -> State:
    return await connect(url, local=local, timeout=2.0, clock=SystemClock(), metrics=NoMetrics())


async def test_memory_is_this_process_own_and_never_lost() -> None:
    state = await connected("memory://")
    assert isinstance(state.store, MemoryStore)
    assert not state.lost()


async def test_a_file_is_made_with_its_folder(tmp_path: Path) -> None:
    state = await connected(f"sqlite:///{tmp_path}/deep/state.db")
    assert (await state.store.admit([Draw("a", Rate(1, 60.0))], [], "h")).allowed
    await state.store.close()
    assert (tmp_path / "deep" / "state.db").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"a shopping list, and not a database at all" * 50)
    with pytest.raises(OSError, match=r"state cannot be kept in .*state\.db"):
        await connected(f"sqlite:///{tmp_path}/state.db")


async def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        await connected(f"sqlite:///{tmp_path}/file/state.db")


async def test_redis_is_found_by_its_url(redis: str) -> None:
    state = await connected(redis)
    assert not state.lost()
    await state.store.close()


async def test_a_server_that_is_not_there_yet_is_lost_from_the_start() -> None:
    state = await connected("redis://127.0.0.1:1/0")
    assert state.lost()
    assert (await state.store.admit([Draw("a", Rate(1, 60.0))], [], "h")).allowed
    await state.store.close()


async def test_a_url_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError):
        await connected("redis://127.0.0.1:port/0")
