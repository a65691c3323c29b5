from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.mediator import messages_in

MODULE = """
from mesh.mediator import Command, Event, Query, StreamCommand, StreamQuery

class Open(Command[int]): ...
class Ask(Query[int]): ...
class Pour(StreamCommand[int]): ...
class Watch(StreamQuery[int]): ...
class Opened(Event): ...
class Helper: ...
"""
IMPORTING = "from messages_of_a_test.one import Open\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "messages_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text(MODULE)
    (folder / "two.py").write_text(IMPORTING)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "messages_of_a_test"
    for name in [name for name in sys.modules if name.startswith("messages_of_a_test")]:
        del sys.modules[name]


def test_every_message_of_a_package_is_found_where_it_is_defined(package: str) -> None:
    found = messages_in(__import__(package))
    assert sorted(message.__name__ for message in found) == ["Ask", "Open", "Pour", "Watch"]
