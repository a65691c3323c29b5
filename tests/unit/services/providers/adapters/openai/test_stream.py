from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason
from services.providers.adapters.openai import stream_decoder
from tollway.chat.v1 import chat_pb2


def event(*choices: dict[str, Any], **top: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "model": "m", "created": 5, "choices": choices, **top}).encode() + b"\n\n"


def saying(text: str, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": finish, **choice}


def extras(chunks: list[chat_pb2.ChatChunk]) -> list[dict[str, Any]]:
    return [json.loads(chunk.extra_json or "{}") for chunk in chunks]


def test_events_that_arrive_together_leave_in_one_chunk_and_text_in_one_delta() -> None:
    decoder = stream_decoder(1, 1000)
    chunks = decoder.feed(event(saying("a")) + event(saying("b")) + event(saying("c", "stop")) + b"data: [DONE]\n\n")
    assert [delta.text for chunk in chunks for delta in chunk.deltas] == ["ab", "c"]
    assert len(chunks) == 1
    assert decoder.done
    assert decoder.error is None


@pytest.mark.parametrize(
    "other",
    [
        {**saying("b"), "index": 1},
        saying("b", "length"),
        saying("b", logprobs={"content": [{"token": "b", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}),
        saying("b", content_filter_results={}),
        {"index": 0, "delta": {"content": "b", "reasoning_content": "hm"}},
        {"index": 0, "delta": {"reasoning_content": "hm"}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f"}}]}},
    ],
)
def test_text_is_joined_with_nothing_but_text_of_the_same_choice(other: dict[str, Any]) -> None:
    decoder = stream_decoder(2, 1000)
    (chunk,) = decoder.feed(event(saying("a")) + event(other) + event(saying("c")) + event(saying("d")))
    before, between, after = chunk.deltas
    assert before == chat_pb2.Delta(text="a")
    assert after == chat_pb2.Delta(text="cd")
    (alone,) = stream_decoder(2, 1000).feed(event(other))
    assert between == alone.deltas[0]


def test_text_that_arrives_in_pieces_of_its_own_does_not_wait_to_be_joined() -> None:
    decoder = stream_decoder(1, 1000)
    assert [decoder.feed(event(saying(text)))[0].deltas[0].text for text in "abc"] == ["a", "b", "c"]


def test_the_answer_is_named_in_its_first_chunk_alone() -> None:
    decoder = stream_decoder(1, 1000)
    first, second = decoder.feed(event(saying("a"))) + decoder.feed(event(saying("b")))
    assert (first.id, first.model, first.create_time.seconds) == ("c", "m", 5)
    assert (second.id, second.model, second.HasField("create_time")) == ("", "", False)


def test_fields_beside_the_choices_are_told_when_they_change() -> None:
    decoder = stream_decoder(1, 1000)
    chunks = [
        *decoder.feed(event(saying("a"), provider="P", service_tier="flex")),
        *decoder.feed(event(saying("b"), provider="P", service_tier="flex")),
        *decoder.feed(event(saying("c"), provider="Q", service_tier="default")),
    ]
    assert extras(chunks) == [{"provider": "P"}, {}, {"provider": "Q"}]
    assert [chunk.service_tier for chunk in chunks] == ["flex", "", "default"]


def test_two_values_of_one_field_that_arrive_together_are_both_kept() -> None:
    decoder = stream_decoder(1, 1000)
    chunks = decoder.feed(event(saying("a"), step=1) + event(saying("b"), step=2) + event(saying("c"), other=3))
    assert extras(chunks) == [{"step": 1}, {"step": 2, "other": 3}]
    assert [[delta.text for delta in chunk.deltas] for chunk in chunks] == [["a"], ["bc"]]


def test_padding_does_not_break_events_apart_that_arrive_together() -> None:
    decoder = stream_decoder(1, 1000)
    chunks = decoder.feed(event(saying("a"), obfuscation="x") + event(saying("b"), obfuscation="y"))
    assert extras(chunks) == [{"obfuscation": "y"}]


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "a"},
        {"tool_calls": [{"index": 0, "function": {}}]},
        {"audio": {"id": "a"}},
        {"function_call": {"name": "f"}},
    ],
)
def test_content_is_seen_in_every_form_it_can_have(delta: dict[str, Any]) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event({"index": 0, "delta": delta}))
    assert decoder.content_seen


@pytest.mark.parametrize("delta", [{"role": "assistant"}, {"role": "assistant", "content": ""}, {"content": ""}, {}])
def test_a_bare_role_and_empty_text_are_no_content(delta: dict[str, Any]) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event({"index": 0, "delta": {**delta, "reasoning_content": None}}))
    assert not decoder.content_seen
    assert decoder.events == 1


def test_comments_are_no_events_and_make_no_chunk() -> None:
    decoder = stream_decoder(1, 1000)
    assert decoder.feed(b": ping\n\n: ping\n\n") == []
    assert decoder.events == 0


def test_an_answer_is_complete_when_all_that_were_asked_for_have_finished() -> None:
    decoder = stream_decoder(2, 1000)
    decoder.feed(event(saying("a", "stop")))
    assert not decoder.complete
    decoder.feed(event(saying("b", index=1)))
    assert not decoder.complete
    decoder.feed(event(saying("", "length", index=1)))
    assert decoder.complete


def test_a_server_that_gives_fewer_answers_than_asked_for_may_say_that_it_is_done() -> None:
    decoder = stream_decoder(3, 1000)
    decoder.feed(event(saying("a", "stop")) + b"data: [DONE]\n\n")
    assert decoder.done
    assert decoder.error is None


def test_what_follows_a_finish_reason_does_not_open_the_choice_again() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event(saying("a", "stop")) + event({"index": 0, "delta": {"audio": {"expires_at": 1}}}))
    assert decoder.complete


def test_an_event_that_is_too_long_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 200)
    chunks = decoder.feed(event(saying("a")) + event(saying("b" * 200)))
    assert [chunk.deltas[0].text for chunk in chunks] == ["a"]
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_text_that_is_not_utf_8_is_replaced_and_not_a_reason_to_fail() -> None:
    decoder = stream_decoder(1, 1000)
    (chunk,) = decoder.feed(event(saying("a?b")).replace(b"?", b"\xff"))
    assert chunk.deltas[0].text == "a\ufffdb"


def test_the_words_of_an_answer_are_not_in_the_error_about_it() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(b'data: {"choices": "secret words"}\n\n')
    assert decoder.error is not None
    assert "secret" not in str(decoder.error)
