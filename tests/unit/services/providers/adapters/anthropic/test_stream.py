from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.anthropic import decode_count, decode_original_count, stream_decoder
from services.providers.adapters.anthropic.stream import StreamDecoder
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]
COUNTS = {"input_tokens": 5, "output_tokens": 1}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def begun(usage: Json = COUNTS) -> bytes:
    return event("message_start", message={"id": "m", "model": "c", "content": [], "usage": usage})


def opens(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta=fields)


def text(said: str, index: int = 0) -> bytes:
    return delta(index, type="text_delta", text=said)


def finish(reason: str = "end_turn", **usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage or {"output_tokens": 3})


TEXT = opens(0, type="text", text="")
SEARCH = opens(0, type="server_tool_use", id="s", name="web_search", input={})
PING = event("ping")
STOP = event("message_stop")


def reading(*pieces: bytes, max_event: int = 1000) -> tuple[StreamDecoder, list[chat_pb2.ChatChunk]]:
    decoder = stream_decoder(1, max_event)
    return decoder, [chunk for piece in pieces for chunk in decoder.feed(piece)]


def test_events_that_arrive_together_leave_in_one_chunk_and_text_in_one_delta() -> None:
    decoder, chunks = reading(begun() + TEXT + text("a") + PING + text("b") + finish() + STOP)
    (chunk,) = chunks
    assert [(each.role, each.text, each.finish_reason) for each in chunk.deltas] == [
        (chat_pb2.ROLE_ASSISTANT, "", 0),
        (0, "ab", 0),
        (0, "", chat_pb2.FINISH_REASON_STOP),
    ]
    assert decoder.done
    assert decoder.error is None


def test_text_that_arrives_in_pieces_of_its_own_does_not_wait_to_be_joined() -> None:
    _, chunks = reading(begun() + TEXT, text("a"), text("b"))
    assert [chunk.deltas[-1].text for chunk in chunks[1:]] == ["a", "b"]


def test_what_is_said_in_different_blocks_is_told_apart() -> None:
    thinking = opens(0, type="thinking", thinking="", signature="")
    hm = delta(0, type="thinking_delta", thinking="Hm.")
    _, (chunk,) = reading(begun() + thinking + hm + opens(1, type="text", text="") + text("a", 1) + text("b", 1))
    assert list(chunk.deltas)[1:] == [
        chat_pb2.Delta(reasoning=chat_pb2.ReasoningPart(text="Hm.")),
        chat_pb2.Delta(text="ab", part=1),
    ]


def test_a_call_is_not_counted_among_the_parts_of_the_answer() -> None:
    call = opens(1, type="tool_use", id="t", name="f", input={})
    more = opens(2, type="text", text="") + text("b", 2)
    _, (chunk,) = reading(begun() + TEXT + text("a") + call + more)
    assert [(each.text, each.part) for each in chunk.deltas if each.text] == [("a", 0), ("b", 1)]


def test_the_answer_is_named_in_its_first_chunk_alone() -> None:
    _, (first, second) = reading(begun(), TEXT + text("a"))
    assert (first.id, first.model, first.dialect) == ("m", "c", "anthropic")
    assert (second.id, second.model, second.dialect) == ("", "", "")


def test_pings_are_no_events_and_make_no_chunk() -> None:
    decoder, chunks = reading(PING, PING)
    assert (decoder.events, chunks) == (0, [])


def test_events_of_kinds_to_come_are_passed_over() -> None:
    decoder, chunks = reading(event("weather_report", rain=True))
    assert (decoder.events, chunks, decoder.done) == (1, [], False)


@pytest.mark.parametrize(
    "events",
    [
        TEXT + text("a"),
        opens(0, type="thinking", thinking="") + delta(0, type="thinking_delta", thinking="a"),
        opens(0, type="tool_use", id="t", name="f", input={}),
        opens(0, type="redacted_thinking", data="a") + event("content_block_stop", index=0),
        SEARCH + event("content_block_stop", index=0),
    ],
)
def test_content_is_seen_in_every_form_it_can_have(events: bytes) -> None:
    decoder, _ = reading(begun() + events)
    assert decoder.content_seen


@pytest.mark.parametrize("events", [b"", TEXT, TEXT + text(""), opens(0, type="thinking", thinking=""), SEARCH])
def test_a_bare_beginning_is_no_content(events: bytes) -> None:
    decoder, _ = reading(begun() + events)
    assert not decoder.content_seen


def test_usage_is_told_once_the_answer_was_counted_and_not_before() -> None:
    _, chunks = reading(begun(), TEXT + text("a"), finish(output_tokens=3))
    assert [chunk.HasField("usage") for chunk in chunks] == [False, False, True]
    assert (chunks[-1].usage.input_tokens, chunks[-1].usage.output_tokens) == (5, 3)


def test_an_answer_is_complete_with_its_finish_reason_even_where_the_end_mark_is_missing() -> None:
    decoder, _ = reading(begun() + TEXT + text("a"))
    assert not decoder.complete
    decoder.feed(finish())
    assert decoder.complete
    assert not decoder.done


def test_one_answer_is_all_there_is_however_many_were_asked_for() -> None:
    decoder = stream_decoder(3, 1000)
    decoder.feed(begun() + TEXT + text("a") + finish() + STOP)
    assert decoder.complete
    assert decoder.error is None


def test_nothing_is_read_after_the_end() -> None:
    decoder, _ = reading(begun() + finish() + STOP)
    assert decoder.feed(TEXT + text("late")) == []


@pytest.mark.parametrize(
    "events",
    [
        TEXT + text("b" * 300),
        SEARCH + b"".join(delta(0, type="input_json_delta", partial_json="b" * 60) for _ in range(4)),
        TEXT + event("content_block_delta", index=0, delta={"type": "text_delta", "text": 3}),
        event("content_block_start", index=0, content_block={}),
        event("message_start", message=[]),
        SEARCH + delta(0, type="input_json_delta", partial_json="{") + event("content_block_stop", index=0),
        b"data: [DONE]\n\n",
    ],
)
def test_what_is_too_long_or_of_another_shape_ends_the_stream(events: bytes) -> None:
    decoder, chunks = reading(
        begun() + TEXT.replace(b'"index": 0', b'"index": 9') + text("a", 9) + events, max_event=200
    )
    assert decoder.done
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED
    assert [each.text for chunk in chunks for each in chunk.deltas if each.text] == ["a"]


def test_a_count_of_tokens_is_read() -> None:
    assert decode_count(b'{"input_tokens": 14}') == 14


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"input_tokens": 14, "context_management": {"original_input_tokens": 50}}', 50),
        (b'{"input_tokens": 14, "context_management": null}', None),
        (b'{"input_tokens": 14}', None),
    ],
)
def test_how_many_there_were_before_any_were_cleared_is_read(body: bytes, count: int | None) -> None:
    assert decode_original_count(body) == count


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"tokens": 14}', Reason.UPSTREAM_MALFORMED),
        (b"<html>", Reason.UPSTREAM_MALFORMED),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}', Reason.UPSTREAM_FAILED),
    ],
)
def test_what_is_no_count_is_an_error(body: bytes, reason: Reason) -> None:
    with pytest.raises(TollwayError) as caught:
        decode_count(body)
    assert caught.value.reason is reason
