"""An answer that is held back until it is whole."""

from __future__ import annotations

from services.router.domain.assured import Assured
from services.router.domain.said import TEXT
from tests.unit.services.router.twins import finish, role, text, usage


def test_nothing_goes_out_before_the_end() -> None:
    answer = Assured(1)
    assert [answer.take(chunk) for chunk in (role(), text("Hel"), text("lo"), finish(), usage())] == [None] * 5
    assert not answer.committed
    assert answer.begun
    assert answer.complete
    assert "".join(delta.text for chunk in answer.held for delta in chunk.deltas) == "Hello"
    assert [delta.finish_reason for delta in answer.ending().deltas] == [finish().deltas[0].finish_reason]


def test_of_a_longer_answer_only_the_last_part_is_held() -> None:
    size = text("aaaa").ByteSize()
    answer = Assured(1, most=3 * size)
    out = [answer.take(text(word)) for word in ("aaaa", "bbbb", "cccc", "dddd", "eeee")]
    assert [None if chunk is None else chunk.deltas[0].text for chunk in out] == [None, None, None, "aaaa", "bbbb"]
    assert answer.committed
    assert answer.delivered().texts() == {TEXT: "aaaabbbb"}
    assert [chunk.deltas[0].text for chunk in answer.held] == ["cccc", "dddd", "eeee"]
    assert sum(chunk.ByteSize() for chunk in answer.held) <= 3 * size
