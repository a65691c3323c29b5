from __future__ import annotations

import pytest

from mesh.call_places import as_said, forget_last_places
from tollway.chat.v1.chat_pb2 import ContentPart, Message, ToolCall


def message(*places: int | None) -> Message:
    """Two parts, and a call for each place."""
    parts = [ContentPart(text="0"), ContentPart(text="1")]
    return Message(content=parts, tool_calls=[ToolCall(id=f"c{i}", place=place) for i, place in enumerate(places)])


def said(message: Message) -> list[str]:
    return [each.id if isinstance(each, ToolCall) else each.text for _, each in as_said(message)]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ((), ["0", "1"]),
        ((None, None), ["0", "1", "c0", "c1"]),
        ((0, 1, 2), ["c0", "0", "c1", "1", "c2"]),
        ((1, 1, None), ["0", "c0", "c1", "1", "c2"]),
        ((-1, 7), ["0", "1", "c0", "c1"]),
    ],
)
def test_a_call_stands_before_the_part_of_its_place(places: tuple[int | None, ...], expected: list[str]) -> None:
    assert said(message(*places)) == expected


def test_parts_and_calls_keep_their_indices() -> None:
    assert [i for i, _ in as_said(message(0, 1))] == [0, 0, 1, 1]


def test_a_call_that_follows_everything_says_no_place() -> None:
    given = message(0, 2)
    forget_last_places(given)
    assert given == message(0, None)
