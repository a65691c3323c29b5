from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason
from services.providers.adapters.openai_responses import stream_decoder
from tollway.chat.v1 import chat_pb2


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


def saying(text: str, **fields: Any) -> bytes:
    return event("response.output_text.delta", **{"output_index": 0, "content_index": 0, "delta": text, **fields})


def ended(**response: Any) -> bytes:
    return event("response.completed", response={"status": "completed", "output": [], **response})


CREATED = event("response.created", response={"id": "resp_1", "model": "m", "created_at": 5, "status": "in_progress"})
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}


def test_events_that_arrive_together_leave_in_one_chunk_and_text_in_one_delta() -> None:
    decoder = stream_decoder(1, 1000)
    (chunk,) = decoder.feed(CREATED + saying("a") + saying("b") + saying("c", content_index=1) + ended())
    assert [delta.text for delta in chunk.deltas] == ["ab", "c", ""]
    assert [delta.part for delta in chunk.deltas] == [0, 1, 0]
    assert (decoder.events, decoder.done, decoder.complete, decoder.error) == (5, True, True, None)


def test_the_answer_is_named_in_its_first_chunk_alone() -> None:
    decoder = stream_decoder(1, 1000)
    first, second = decoder.feed(CREATED) + decoder.feed(saying("a"))
    assert (first.id, first.model, first.create_time.seconds, first.dialect) == ("resp_1", "m", 5, "openai_responses")
    assert (second.id, second.model, second.HasField("create_time"), second.dialect) == ("", "", False, "")


@pytest.mark.parametrize(
    "content",
    [
        saying("a"),
        event("response.refusal.delta", output_index=0, content_index=0, delta="a"),
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        event("response.reasoning_text.delta", output_index=0, content_index=0, delta="a"),
        event("response.output_item.added", output_index=0, item=CALL),
        event("response.output_item.done", output_index=0, item={"type": "web_search_call", "id": "ws_1"}),
        event("response.output_item.done", output_index=0, item={"type": "reasoning", "encrypted_content": "e"}),
    ],
)
def test_content_is_seen_in_every_form_it_can_have(content: bytes) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(CREATED)
    assert not decoder.content_seen
    decoder.feed(content)
    assert decoder.content_seen


@pytest.mark.parametrize(
    "empty",
    [
        saying(""),
        event("response.output_item.added", output_index=0, item={"type": "message", "content": []}),
        event("response.web_search_call.searching", output_index=0),
        event("response.of_the_future", anything=1),
    ],
)
def test_what_only_announces_content_is_none(empty: bytes) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(empty)
    assert not decoder.content_seen
    assert decoder.events == 1
    assert decoder.error is None


def test_what_was_heard_in_pieces_is_not_told_again() -> None:
    decoder = stream_decoder(1, 1000)
    part = {"type": "output_text", "text": "abc", "annotations": []}
    item = {"type": "message", "role": "assistant", "content": [part]}
    chunks = decoder.feed(saying("a") + saying("b"))
    chunks += decoder.feed(event("response.content_part.done", output_index=0, content_index=0, part=part))
    chunks += decoder.feed(event("response.output_item.done", output_index=0, item=item) + ended(output=[item]))
    assert [delta.text for chunk in chunks for delta in chunk.deltas] == ["ab", "c", ""]


def test_calls_are_numbered_from_nought_whatever_stands_before_them() -> None:
    decoder = stream_decoder(1, 1000)
    (chunk,) = decoder.feed(
        event("response.output_item.added", output_index=3, item=CALL)
        + event("response.output_item.added", output_index=5, item={**CALL, "call_id": "call_2"})
        + event("response.function_call_arguments.delta", output_index=5, delta="{")
        + event("response.function_call_arguments.delta", output_index=3, delta="[")
        + event("response.function_call_arguments.done", output_index=5, arguments="{}")
        + ended()
    )
    calls = [(call.index, call.id, call.arguments) for delta in chunk.deltas for call in delta.tool_calls]
    assert calls == [(0, "call_1", ""), (1, "call_2", ""), (1, "", "{"), (0, "", "["), (1, "", "}")]
    assert chunk.deltas[-1].finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS


def test_a_stream_without_its_last_event_is_not_finished_though_its_items_are() -> None:
    decoder = stream_decoder(1, 1000)
    item = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    decoder.feed(CREATED + event("response.output_item.done", output_index=0, item=item))
    assert not decoder.done
    assert not decoder.complete


def test_what_follows_the_last_event_is_not_read() -> None:
    decoder = stream_decoder(1, 1000)
    (chunk,) = decoder.feed(ended() + b"data: [DONE]\n\n" + saying("late"))
    assert [delta.text for delta in chunk.deltas] == [""]
    assert (decoder.complete, decoder.error) == (True, None)


def test_an_event_that_is_too_long_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 200)
    (chunk,) = decoder.feed(saying("a") + saying("b" * 200))
    assert [delta.text for delta in chunk.deltas] == ["a"]
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_the_words_of_an_answer_are_not_in_the_error_about_it() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event("response.output_text.delta", output_index=0, delta=["secret words"]))
    assert decoder.error is not None
    assert "secret" not in str(decoder.error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "server_error", "message": "m"}, Reason.UPSTREAM_FAILED),
        ({"code": "rate_limit_exceeded", "message": "m"}, Reason.UPSTREAM_RATE_LIMITED),
        ({"code": "invalid_prompt", "message": "m"}, Reason.UPSTREAM_REJECTED),
        ({"code": "failed_to_download_image", "message": "m"}, Reason.UPSTREAM_REJECTED),
        ({"code": "bio_policy", "message": "m"}, Reason.CONTENT_FILTERED),
        ({"code": "vector_store_timeout", "message": "m"}, Reason.UPSTREAM_FAILED),
        ({"code": "of_the_future", "message": "m"}, Reason.UPSTREAM_FAILED),
        (None, Reason.UPSTREAM_FAILED),
    ],
)
def test_a_response_that_fails_says_whose_fault_it_is(error: Any, reason: Reason) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event("response.failed", response={"status": "failed", "error": error}))
    assert decoder.error is not None
    assert decoder.error.reason is reason
    assert not decoder.complete
