from __future__ import annotations

from typing import Any

from gateway_http.anthropic.blocks import Blocks, CallBlock
from tests.unit.gateway_http.anthropic.reading import events

TEXT = {"type": "text", "text": ""}


def said(text: str) -> list[dict[str, Any]]:
    return [{"type": "text_delta", "text": text}]


def told(written: list[bytes]) -> list[tuple[str, int]]:
    made = [(event["type"].removeprefix("content_block_"), event["index"]) for event in events(b"".join(written))]
    written.clear()
    return made


def test_a_block_closes_before_the_next_opens() -> None:
    blocks, written = Blocks(), list[bytes]()

    blocks.add("a", TEXT, said("x"), written)
    blocks.add("a", TEXT, said("y"), written)
    assert told(written) == [("start", 0), ("delta", 0), ("delta", 0)]
    blocks.add("b", TEXT, said("z"), written)
    assert told(written) == [("stop", 0), ("start", 1), ("delta", 1)]
    blocks.close(written)
    assert told(written) == [("stop", 1)]


def test_a_sealed_block_takes_nothing_more() -> None:
    blocks, written = Blocks(), list[bytes]()

    blocks.add("a", TEXT, said("x"), written)
    blocks.seal()
    blocks.add("a", TEXT, said("y"), written)

    assert told(written) == [("start", 0), ("delta", 0), ("stop", 0), ("start", 1), ("delta", 1)]


def test_what_waits_behind_a_call_is_written_when_the_call_is_whole() -> None:
    blocks, written = Blocks(), list[bytes]()
    call = blocks.begin_call(0, {"type": "tool_use"})
    call.add('{"a"')
    blocks.flush(written)

    blocks.add("a", TEXT, said("x"), written)
    assert told(written) == [("start", 0), ("delta", 0)]
    assert blocks.speaking is None
    call.add(":1}")
    blocks.flush(written)

    assert told(written) == [("delta", 0), ("stop", 0), ("start", 1), ("delta", 1)]
    assert blocks.call(0) is None
    assert blocks.has_written(0)
    assert blocks.speaking == "a"


def test_a_call_is_whole_when_its_arguments_are_an_object() -> None:
    for arguments, whole in [
        ("", False),
        ("{", False),
        ('{"a":"}', False),
        ("[1]", False),
        ("{}", True),
        ("{} ", True),
    ]:
        call = CallBlock({}, 0)
        call.add(arguments)
        assert call.whole() is whole, arguments


def test_the_end_writes_what_is_not_whole() -> None:
    blocks, written = Blocks(), list[bytes]()
    for index in range(2):
        blocks.begin_call(index, {"type": "tool_use"}).add("{")
        blocks.flush(written)

    blocks.close(written)

    assert told(written) == [("start", 0), ("delta", 0), ("stop", 0), ("start", 1), ("delta", 1), ("stop", 1)]
