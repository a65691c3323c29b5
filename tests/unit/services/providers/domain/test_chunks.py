from __future__ import annotations

import orjson

from services.providers.domain.chunks import Chunks
from tollway.chat.v1 import chat_pb2


def test_where_nothing_was_said_there_is_no_chunk() -> None:
    assert Chunks().take() == []


def test_text_of_one_part_is_one_delta_and_that_of_another_the_next() -> None:
    chunks = Chunks()
    for text, part in (("a", 0), ("b", 0), ("c", 1), ("d", 0)):
        chunks.say(text, part)
    (chunk,) = chunks.take()
    assert [(delta.text, delta.part) for delta in chunk.deltas] == [("ab", 0), ("c", 1), ("d", 0)]


def test_what_is_said_between_two_texts_stays_between_them() -> None:
    chunks = Chunks()
    chunks.say("a", 2)
    chunks.add(2).reasoning.text = "hm"
    chunks.say("b", 2)
    (chunk,) = chunks.take()
    assert [delta.text or delta.reasoning.text for delta in chunk.deltas] == ["a", "hm", "b"]
    assert {delta.part for delta in chunk.deltas} == {2}


def test_what_is_taken_is_not_there_again() -> None:
    chunks = Chunks()
    chunks.say("a", 0)
    assert len(chunks.take()) == 1
    assert chunks.take() == []


def test_a_second_value_of_a_name_is_in_the_next_chunk() -> None:
    chunks = Chunks()
    chunks.keep({"trace": 1, "other": 2})
    chunks.say("a", 0)
    chunks.keep({"trace": 3})
    first, second = chunks.take()
    assert (orjson.loads(first.extra_json), first.deltas[0].text) == ({"trace": 1, "other": 2}, "a")
    assert second == chat_pb2.ChatChunk(extra_json=b'{"trace":3}')
