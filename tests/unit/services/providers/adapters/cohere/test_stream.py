from __future__ import annotations

import json
from typing import Any

from mesh.errors import Reason
from services.providers.adapters.cohere import stream_decoder


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def text(said: str, index: int = 0) -> bytes:
    return event("content-delta", index=index, delta={"message": {"content": {"text": said}}})


def end(reason: str = "COMPLETE") -> bytes:
    return event("message-end", id="c", delta={"finish_reason": reason})


START = event("message-start", id="c", delta={"message": {"role": "assistant"}})


def test_events_that_come_together_leave_in_one_chunk_and_their_text_in_one_delta() -> None:
    (chunk,) = stream_decoder(1, 1 << 20).feed(START + text("a") + text("b") + text("c"))
    assert [delta.text for delta in chunk.deltas] == ["", "abc"]
    assert (chunk.id, chunk.dialect) == ("c", "cohere")


def test_text_of_another_part_is_a_delta_of_its_own() -> None:
    (chunk,) = stream_decoder(1, 1 << 20).feed(text("a") + text("b", 1))
    assert [(delta.part, delta.text) for delta in chunk.deltas] == [(0, "a"), (1, "b")]


def test_an_answer_is_finished_and_done_at_its_end() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + text("a"))
    assert not decoder.complete
    decoder.feed(end() + text("never read"))
    assert decoder.complete
    assert decoder.done
    assert decoder.error is None


def test_a_role_alone_is_no_content_and_a_plan_is() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + text(""))
    assert not decoder.content_seen
    decoder.feed(event("tool-plan-delta", delta={"message": {"tool_plan": "I"}}))
    assert decoder.content_seen


def test_an_answer_that_ran_out_of_time_is_not_a_finished_one() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + text("a") + end("TIMEOUT"))
    assert not decoder.complete
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_FAILED


def test_an_event_longer_than_the_limit_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 300)
    chunks = [*decoder.feed(text("a")), *decoder.feed(text("b" * 400))]
    assert [delta.text for chunk in chunks for delta in chunk.deltas] == ["a"]
    assert decoder.done
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_calls_are_numbered_from_nought_whatever_number_cohere_gives_them() -> None:
    def start(number: int, name: str) -> bytes:
        call = {"id": name, "type": "function", "function": {"name": name, "arguments": ""}}
        return event("tool-call-start", index=number, delta={"message": {"tool_calls": call}})

    (chunk,) = stream_decoder(1, 1 << 20).feed(START + start(1, "f") + start(2, "g"))
    assert [(call.index, call.name) for delta in chunk.deltas for call in delta.tool_calls] == [(0, "f"), (1, "g")]
