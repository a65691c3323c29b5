from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from mesh.errors import Reason
from services.providers.adapters.bedrock import stream_decoder
from tests.providers.framing import frame


def event(kind: str, **payload: Any) -> bytes:
    return frame({":message-type": "event", ":event-type": kind}, json.dumps(payload).encode())


def text(said: str, block: int = 0) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=block, delta={"text": said})


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")
USAGE = event("metadata", usage={"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, metrics={"latencyMs": 1})


def test_events_that_come_together_leave_in_one_chunk_and_their_text_in_one_delta() -> None:
    (chunk,) = stream_decoder(1, 1 << 20).feed(START + text("a") + text("b") + text("c"))
    assert [delta.text for delta in chunk.deltas] == ["", "abc"]


def test_text_of_another_block_is_a_delta_of_its_own() -> None:
    (chunk,) = stream_decoder(1, 1 << 20).feed(text("a") + text("b", 1))
    assert [(delta.part, delta.text) for delta in chunk.deltas] == [(0, "a"), (1, "b")]


def test_an_answer_is_finished_at_its_stop_and_done_with_its_usage() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + text("a"))
    assert not decoder.complete
    decoder.feed(STOP)
    assert decoder.complete
    assert not decoder.done
    decoder.feed(USAGE)
    assert decoder.done
    assert decoder.error is None
    assert decoder.events == 4


def test_a_role_alone_is_no_content_and_a_tool_s_name_is() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + text(""))
    assert not decoder.content_seen
    decoder.feed(event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "a", "name": "f"}}))
    assert decoder.content_seen


def test_two_answers_are_never_complete() -> None:
    decoder = stream_decoder(2, 1 << 20)
    decoder.feed(START + STOP)
    assert not decoder.complete


def test_an_event_longer_than_the_limit_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 300)
    (chunk,) = decoder.feed(text("a") + text("b" * 300))
    assert chunk.deltas[0].text == "a"
    assert decoder.done
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_a_block_that_is_held_back_is_bounded_like_an_event() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event("contentBlockStart", contentBlockIndex=0, start={"image": {"format": "png"}}))
    piece = {"image": {"source": {"bytes": b64encode(b"x" * 300).decode()}}}
    decoder.feed(event("contentBlockDelta", contentBlockIndex=0, delta=piece))
    assert decoder.error is None
    decoder.feed(event("contentBlockDelta", contentBlockIndex=0, delta=piece))
    decoder.feed(event("contentBlockDelta", contentBlockIndex=0, delta=piece))
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_an_answer_that_stops_twice_is_malformed() -> None:
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(START + STOP + STOP)
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_nothing_is_read_after_an_error() -> None:
    decoder = stream_decoder(1, 1 << 20)
    refused = frame({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message": "Wait."}')
    assert decoder.feed(refused + text("a")) == []
    assert decoder.error is not None
    assert decoder.error.message == "Wait."


def test_the_dialect_is_named_once_in_the_first_chunk() -> None:
    decoder = stream_decoder(1, 1 << 20)
    (first,), (second,) = decoder.feed(START), decoder.feed(text("a"))
    assert (first.dialect, second.dialect) == ("bedrock", "")
