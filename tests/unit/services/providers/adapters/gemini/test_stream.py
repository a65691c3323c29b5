from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason
from services.providers.adapters.gemini import stream_decoder
from services.providers.domain.wire import MAX_ANSWER, MAX_EVENT
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]


def event(*parts: Json, finish: str = "", index: int = 0, **top: Any) -> bytes:
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    named = {"responseId": "r", "modelVersion": "m", "createTime": "2026-03-01T10:20:30Z"}
    return b"data: " + json.dumps({"candidates": [candidate], **named, **top}).encode() + b"\r\n\r\n"


def counted(output: int) -> Json:
    return {"promptTokenCount": 9, "candidatesTokenCount": output}


A, B = {"text": "a"}, {"text": "b"}
CALL = {"functionCall": {"name": "look", "args": {}}}
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def deltas(*events: bytes) -> list[chat_pb2.Delta]:
    return [delta for chunk in stream_decoder(1, 10_000).feed(b"".join(events)) for delta in chunk.deltas]


def test_the_answer_is_named_in_its_first_chunk_alone() -> None:
    first, second = stream_decoder(1, 1000).feed(event(A) + event(B))
    assert (first.id, first.model, first.dialect, first.create_time.seconds) == ("r", "m", "gemini", 1772360430)
    assert (second.id, second.model, second.dialect, second.HasField("create_time")) == ("", "", "", False)


def test_an_event_that_arrives_does_not_wait_for_the_next() -> None:
    decoder = stream_decoder(1, 1000)
    assert [decoder.feed(event({"text": text}))[0].deltas[0].text for text in "abc"] == ["a", "b", "c"]


def test_the_role_is_told_once_with_what_comes_first() -> None:
    assert [delta.role for delta in deltas(event(A, CALL), event(B))] == [chat_pb2.ROLE_ASSISTANT, 0, 0]


def test_parts_are_told_apart_by_their_place_where_their_kind_changes_or_one_is_signed() -> None:
    thought, signed = {"text": "t", "thought": True}, {"text": "a", "thoughtSignature": "Uw=="}
    got = deltas(event(thought), event(thought), event(A), event(signed), event(B), event(PICTURE), event(B, CALL, B))
    told = [(delta.part, delta.text or delta.reasoning.text or delta.reasoning.signature) for delta in got]
    assert told == [
        (0, "t"),
        (0, "t"),
        (1, "a"),
        (1, "a"),
        (2, "Uw=="),
        (3, "b"),
        (4, ""),
        (5, "b"),
        (6, ""),
        (7, "b"),
    ]


def test_an_event_without_news_makes_no_chunk_and_counts() -> None:
    decoder = stream_decoder(1, 1000)
    assert len(decoder.feed(event(A))) == 1
    assert decoder.feed(event() + event({"text": ""}) + event({"text": "", "thought": True}) + b": ping\n\n") == []
    assert decoder.events == 4


@pytest.mark.parametrize("part", [A, {"text": "t", "thought": True}, CALL, PICTURE, {"hologram": {}}])
def test_content_is_seen_in_every_form_it_can_have(part: Json) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event(part))
    assert decoder.content_seen


@pytest.mark.parametrize("parts", [[], [{"text": ""}], [{"text": "", "thoughtSignature": "Uw=="}]])
def test_empty_text_and_a_bare_signature_are_no_content(parts: list[Json]) -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event(*parts, usageMetadata=counted(0)))
    assert not decoder.content_seen


def test_usage_is_told_with_the_last_finish_and_whenever_it_changes_after_it() -> None:
    decoder = stream_decoder(2, 1000)
    said = [
        decoder.feed(event(A, usageMetadata=counted(1))),
        decoder.feed(event(A, finish="STOP", usageMetadata=counted(2))),
        decoder.feed(event(A, index=1, finish="STOP")),
        decoder.feed(b'data: {"usageMetadata": {"candidatesTokenCount": 5}}\n\n'),
    ]
    assert [chunk.usage.output_tokens for (chunk,) in said if chunk.HasField("usage")] == [2, 5]
    assert [chunk.HasField("usage") for (chunk,) in said] == [False, False, True, True]


def test_a_finish_that_is_said_again_is_told_once() -> None:
    got = deltas(event(A, finish="STOP"), event(finish="STOP"))
    assert [delta.finish_reason for delta in got] == [0, chat_pb2.FINISH_REASON_STOP]


def test_an_answer_is_complete_when_all_that_were_asked_for_have_finished() -> None:
    decoder = stream_decoder(2, 1000)
    decoder.feed(event(A, finish="STOP"))
    assert not decoder.complete
    decoder.feed(event(B, index=1))
    assert not decoder.complete
    decoder.feed(event(index=1, finish="MAX_TOKENS"))
    assert decoder.complete
    assert not decoder.done


def test_calls_without_ids_get_the_same_ones_whenever_the_same_answer_is_read() -> None:
    stream = event(CALL), event(CALL)
    first, second = (call for delta in deltas(*stream) for call in delta.tool_calls)
    assert first.id != second.id
    assert [call.id for delta in deltas(*stream) for call in delta.tool_calls] == [first.id, second.id]
    assert [first.index, second.index] == [0, 1]


def test_an_error_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 1000)
    failed = b'data: {"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}}\n\n'
    assert [chunk.deltas[0].text for chunk in decoder.feed(event(A) + failed + event(B, finish="STOP"))] == ["a"]
    assert decoder.done
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_FAILED
    assert not decoder.complete


def test_a_prompt_that_is_blocked_while_it_is_answered_ends_the_stream() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(event(A) + b'data: {"promptFeedback": {"blockReason": "SAFETY"}}\n\n')
    assert decoder.error is not None
    assert decoder.error.reason is Reason.CONTENT_FILTERED


def test_an_event_that_is_too_long_ends_the_stream_after_what_came_before_it() -> None:
    decoder = stream_decoder(1, 300)
    chunks = decoder.feed(event(A) + event({"text": "b" * 300}))
    assert [chunk.deltas[0].text for chunk in chunks] == ["a"]
    assert decoder.error is not None
    assert decoder.error.reason is Reason.UPSTREAM_MALFORMED


def test_the_words_of_an_answer_are_not_in_the_error_about_it() -> None:
    decoder = stream_decoder(1, 1000)
    decoder.feed(b'data: {"candidates": "secret words"}\n\n')
    assert decoder.error is not None
    assert "secret" not in str(decoder.error)


def test_a_citation_is_of_the_part_it_begins_in_and_counts_from_there() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    segments = [(0, 3, "One"), (5, 10, "Paris"), (0, 10, "One. Paris")]
    supports = [
        {"segment": {"startIndex": start, "endIndex": end, "text": text}, "groundingChunkIndices": [0]}
        for start, end, text in segments
    ]
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}], "groundingSupports": supports}
    closing = b"data: " + json.dumps({"candidates": [{"groundingMetadata": grounding}]}).encode() + b"\n\n"
    decoder = stream_decoder(1, 1000)
    decoder.feed(event({"text": "H", "thought": True}, {"text": "One. "}, code, {"text": "Pa"}))
    decoder.feed(event({"text": "ris"}))

    (chunk,) = decoder.feed(closing)

    told = [(delta.part, each.answer_start, each.answer_end) for delta in chunk.deltas for each in delta.citations]
    assert told == [(1, 0, 3), (1, 0, 5), (3, 0, 5)]


def test_places_are_not_looked_for_in_more_text_than_is_kept() -> None:
    support = {"segment": {"endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}], "groundingSupports": [support]}
    closing = b"data: " + json.dumps({"candidates": [{"groundingMetadata": grounding}]}).encode() + b"\n\n"
    for events, found in ((1, True), (2000, False)):
        decoder = stream_decoder(1, 1000)
        decoder.feed(event(A) * events)
        ((cited,),) = (delta.citations for chunk in decoder.feed(closing) for delta in chunk.deltas)
        assert cited.HasField("answer_end") is found


def test_a_picture_may_be_as_large_in_a_stream_as_in_a_whole_answer() -> None:
    data = "A" * (MAX_ANSWER - 1000)
    decoder = stream_decoder(1, MAX_EVENT)
    (chunk,) = decoder.feed(event({"inlineData": {"mimeType": "image/png", "data": data}}, finish="STOP"))
    assert len(chunk.deltas[0].parts[0].image.data) == len(data) * 3 // 4
    assert decoder.complete
