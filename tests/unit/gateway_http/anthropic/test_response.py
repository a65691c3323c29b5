from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from anthropic.types import Message

from gateway_http.anthropic.response import encode_answer
from gateway_http.dialect import Identity
from tollway.chat.v1 import chat_pb2 as pb

IDENTITY = Identity("req_1", "claude", 1_700_000_000.0)
USAGE = pb.Usage(input_tokens=9, output_tokens=3)


def answer(*parts: pb.ContentPart, dialect: str = "", choice: dict[str, Any] | None = None, **fields: Any) -> Any:
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=parts)
    end: dict[str, Any] = {"message": message, "finish_reason": pb.FINISH_REASON_STOP, **(choice or {})}
    chat = pb.ChatResponse(choices=[pb.Choice(**end)], **{"usage": USAGE, **fields}, dialect=dialect)
    return json.loads(encode_answer(chat, IDENTITY))


def calls(*given: pb.ToolCall, dialect: str = "") -> Any:
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=given)
    ends = {"message": message, "finish_reason": pb.FINISH_REASON_TOOL_CALLS}
    return answer(choice=ends, dialect=dialect)["content"]


def usage(dialect: str = "", **fields: Any) -> Any:
    return answer(usage=pb.Usage(**fields), dialect=dialect)["usage"]


def test_an_answer_is_a_message_of_blocks() -> None:
    body = answer(pb.ContentPart(text="Hi"), id="msg_01", model="claude-1", dialect="anthropic")

    assert Message.model_validate(body, strict=True)
    assert body == {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 3,
        },
    }


@pytest.mark.parametrize(
    ("given", "dialect", "shown"),
    [("", "", "msg_req_1"), ("chatcmpl-1", "", "msg_chatcmpl-1"), ("msg_1", "", "msg_1"), ("x", "anthropic", "x")],
)
def test_an_id_looks_like_anthropics(given: str, dialect: str, shown: str) -> None:
    assert answer(id=given, dialect=dialect)["id"] == shown


def test_what_a_provider_leaves_out_is_filled_in_and_usage_is_not_made_up() -> None:
    body = json.loads(encode_answer(pb.ChatResponse(choices=[pb.Choice()]), IDENTITY))

    assert (body["model"], body["content"]) == ("claude", [])
    assert body["usage"] == {"input_tokens": 0, "output_tokens": 0, "known": False}
    assert Message.model_validate(body, strict=True)


def test_of_several_choices_it_is_the_first() -> None:
    choices = [pb.Choice(index=i, message=pb.Message(content=[pb.ContentPart(text=str(i))])) for i in range(2)]

    body = json.loads(encode_answer(pb.ChatResponse(choices=choices), IDENTITY))

    assert [block["text"] for block in body["content"]] == ["0"]


def test_blocks_stand_in_their_order_with_calls_at_the_end() -> None:
    message = pb.Message(
        content=[
            pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm.", signature="c2ln", issuer="anthropic")),
            pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"EmwK", issuer="anthropic")),
            pb.ContentPart(text="Hi", citations=[pb.Citation(type="char_location", document_index=0, cited_text="c",
                                                             source_start=0, source_end=1)]),
            pb.ContentPart(extra_json=b'{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'),
        ],
        tool_calls=[pb.ToolCall(id="toolu_1", type="function", name="f", arguments='{"a": 1}', signature="sig")],
    )  # fmt: skip

    body = answer(choice={"message": message}, dialect="anthropic")

    assert Message.model_validate(body, strict=True)
    assert [block["type"] for block in body["content"]] == [
        "thinking", "redacted_thinking", "text", "server_tool_use", "tool_use",
    ]  # fmt: skip
    assert body["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    assert body["content"][1] == {"type": "redacted_thinking", "data": "EmwK"}
    assert body["content"][2]["citations"][0]["document_index"] == 0
    assert body["content"][4] == {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "f",
        "input": {"a": 1},
        "signature": "sig",
    }


@pytest.mark.parametrize(
    ("reasoning", "dialect", "blocks"),
    [
        (pb.ReasoningPart(text="Hm."), "", [{"type": "thinking", "thinking": "Hm.", "signature": ""}]),
        (pb.ReasoningPart(text="Hm.", signature="s", issuer="gemini"), "gemini",
         [{"type": "thinking", "thinking": "Hm.", "signature": "tollway:gemini:s"}]),
        (pb.ReasoningPart(signature="s"), "gemini",
         [{"type": "thinking", "thinking": "", "signature": "tollway:gemini:s"}]),
        (pb.ReasoningPart(text="Hm.", redacted=b"r", issuer="openai_responses"), "openai_responses",
         [{"type": "thinking", "thinking": "Hm.", "signature": ""},
          {"type": "redacted_thinking", "data": "tollway:openai_responses:r"}]),
    ],
)  # fmt: skip
def test_a_proof_says_whose_it_is_where_it_is_not_anthropics(
    reasoning: pb.ReasoningPart, dialect: str, blocks: list[Any]
) -> None:
    assert answer(pb.ContentPart(reasoning=reasoning), dialect=dialect)["content"] == blocks


def test_a_refusal_is_a_text_and_the_reason_why_it_ended() -> None:
    body = answer(pb.ContentPart(refusal="No."))

    assert body["content"] == [{"type": "text", "text": "No."}]
    assert body["stop_reason"] == "refusal"


def test_pictures_sound_and_documents_stand_as_in_questions() -> None:
    picture, sound, document = answer(
        pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png")),
        pb.ContentPart(audio=pb.AudioPart(data=b"\0", format="wav", transcript="Hi")),
        pb.ContentPart(file=pb.FilePart(file_id="file_1", filename="A")),
    )["content"]

    data = base64.b64encode(b"\0").decode()
    assert picture == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    source = {"type": "base64", "media_type": "audio/wav", "data": data}
    assert sound == {"type": "audio", "source": source, "transcript": "Hi"}
    assert document == {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "A"}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        (" ", {}),
        ('{"a": [1.5]}', {"a": [1.5]}),
        ('{"a": 12345678901234567890}', {"a": 12345678901234567890}),
        ('{"a"', {"INVALID_JSON": '{"a"'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
    ],
)
def test_arguments_are_an_object_and_text_that_is_none_is_kept_in_one(arguments: str, value: Any) -> None:
    assert calls(pb.ToolCall(id="t", name="f", arguments=arguments))[0]["input"] == value


def test_a_call_without_an_id_is_given_one() -> None:
    first, second = calls(pb.ToolCall(name="f"), pb.ToolCall(name="f"))

    assert first["id"] != second["id"]
    assert first["id"].startswith("toolu_")


def test_what_another_dialect_says_stands_under_its_name() -> None:
    message = pb.Message(
        content=[pb.ContentPart(text="Hi", extra_json=b'{"a":1}'), pb.ContentPart(extra_json=b'{"type":"video"}')],
        tool_calls=[pb.ToolCall(id="t", name="f", extra_json=b'{"b":2}')],
        extra_json=b'{"annotations":[]}',
    )

    body = answer(
        choice={"message": message, "extra_json": b'{"filter":3}'},
        extra_json=b'{"citations":[4],"id":"x"}',
        system_fingerprint="fp_1",
    )

    assert body["id"] == "msg_req_1"
    assert body["openai"] == {
        "filter": 3, "annotations": [], "citations": [4], "id": "x", "system_fingerprint": "fp_1",
    }  # fmt: skip
    text, video, call = body["content"]
    assert text == {"type": "text", "text": "Hi", "openai": {"a": 1}}
    assert video == {"type": "openai", "openai": {"type": "video"}}
    assert call["openai"] == {"b": 2}


def test_what_anthropic_itself_says_stands_where_it_stood() -> None:
    body = answer(
        pb.ContentPart(text="Hi", extra_json=b'{"new":1}'),
        dialect="anthropic",
        choice={"extra_json": b'{"stop_details":null}'},
        extra_json=b'{"container":{"id":"c"}}',
    )

    assert (body["content"][0]["new"], body["stop_details"], body["container"]) == (1, None, {"id": "c"})


@pytest.mark.parametrize(
    ("reason", "native", "sequence", "told"),
    [
        (pb.FINISH_REASON_STOP, "", "", {"stop_reason": "end_turn", "stop_sequence": None}),
        (pb.FINISH_REASON_STOP, "", "END", {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
        (pb.FINISH_REASON_STOP, "stop_sequence", "END", {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
        (pb.FINISH_REASON_LENGTH, "", "", {"stop_reason": "max_tokens", "stop_sequence": None}),
        (pb.FINISH_REASON_LENGTH, "model_context_window_exceeded", "",
         {"stop_reason": "model_context_window_exceeded", "stop_sequence": None}),
        (pb.FINISH_REASON_TOOL_CALLS, "", "", {"stop_reason": "tool_use", "stop_sequence": None}),
        (pb.FINISH_REASON_FUNCTION_CALL, "", "", {"stop_reason": "tool_use", "stop_sequence": None}),
        (pb.FINISH_REASON_CONTENT_FILTER, "SAFETY", "",
         {"stop_reason": "refusal", "stop_sequence": None, "native_finish_reason": "SAFETY"}),
        (pb.FINISH_REASON_OTHER, "pause_turn", "", {"stop_reason": "pause_turn", "stop_sequence": None}),
        (pb.FINISH_REASON_OTHER, "MALFORMED", "", {"stop_reason": "MALFORMED", "stop_sequence": None}),
        (pb.FINISH_REASON_OTHER, "", "", {"stop_reason": "end_turn", "stop_sequence": None}),
    ],
)  # fmt: skip
def test_why_an_answer_ended_is_said_in_anthropics_words(
    reason: pb.FinishReason.ValueType, native: str, sequence: str, told: dict[str, Any]
) -> None:
    ends = {"finish_reason": reason, "native_finish_reason": native, "stop_sequence": sequence}

    body = answer(choice=ends)

    assert {name: body[name] for name in body if name in (*told, "native_finish_reason")} == told


def test_tokens_of_the_cache_are_none_of_the_input() -> None:
    told = usage(
        input_tokens=100, output_tokens=9, cached_input_tokens=30, cache_write_tokens=50, cache_write_1h_tokens=20,
        reasoning_tokens=4, service_tier="standard", extra_json=b'{"server_tool_use":{"web_search_requests":1}}',
        dialect="anthropic",
    )  # fmt: skip

    assert told == {
        "input_tokens": 20,
        "cache_creation_input_tokens": 50,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 1},
    }


def test_lifetimes_of_the_cache_that_are_new_are_told_as_anthropic_told_them() -> None:
    told = {"ephemeral_5m_input_tokens": 1, "ephemeral_1d_input_tokens": 2}

    made = usage(cache_write_tokens=3, extra_json=json.dumps({"cache_creation": told}).encode(), dialect="anthropic")

    assert made["cache_creation"] == told


def test_where_anthropic_counts_otherwise_its_own_counts_are_shown() -> None:
    own = {"input_tokens": 7, "output_tokens": 2, "iterations": [{"type": "compaction", "input_tokens": 100}]}
    made = usage(input_tokens=107, output_tokens=12, extra_json=json.dumps(own).encode(), dialect="anthropic")
    assert made.items() >= own.items()
    elsewhere = usage(input_tokens=107, output_tokens=12, extra_json=json.dumps(own).encode(), dialect="bedrock")
    assert (elsewhere["input_tokens"], elsewhere["output_tokens"], elsewhere["bedrock"]) == (107, 12, own)


def test_another_tier_than_anthropic_has_stands_under_the_dialects_name() -> None:
    assert usage(service_tier="default")["service_tier"] == "standard"
    told = usage(service_tier="flex", extra_json=b'{"total_tokens":5}')
    assert (told["service_tier"], told["openai"]) == (None, {"service_tier": "flex", "total_tokens": 5})
    assert answer(service_tier="priority")["usage"]["service_tier"] == "priority"
