from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage

from gateway_http.dialect import Identity
from gateway_http.json_output import put_back
from gateway_http.openai_chat.response import encode_completion
from tollway.chat.v1 import chat_pb2 as pb


def encode(chat: pb.ChatResponse) -> Any:
    return json.loads(encode_completion(chat, Identity("req_1", "gpt-4o", 1_700_000_000.5)))


def encode_message(**fields: Any) -> Any:
    message = pb.Message(role=pb.ROLE_ASSISTANT, **fields)
    return encode(pb.ChatResponse(choices=[pb.Choice(message=message)]))["choices"][0]["message"]


def encode_choice(**fields: Any) -> Any:
    return encode(pb.ChatResponse(choices=[pb.Choice(**fields)]))["choices"][0]


def test_a_whole_answer_has_every_field_of_openai_s() -> None:
    chat = pb.ChatResponse(
        id="chatcmpl-1",
        model="gpt-4o-2024-08-06",
        choices=[
            pb.Choice(
                message=pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hi")]),
                finish_reason=pb.FINISH_REASON_STOP,
            )
        ],
        usage=pb.Usage(input_tokens=9, output_tokens=3, cached_input_tokens=4, reasoning_tokens=2),
        service_tier="default",
        system_fingerprint="fp_1",
        extra_json=b'{"citations":["https://example.com"]}',
    )
    chat.create_time.seconds = 1_600_000_000

    body = encode(chat)

    assert body == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_600_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 2,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "citations": ["https://example.com"],
    }
    assert ChatCompletion.model_validate(body, strict=True)


def test_what_a_provider_leaves_out_is_filled_in() -> None:
    body = encode(pb.ChatResponse())

    assert (body["id"], body["model"], body["created"]) == ("chatcmpl-req_1", "gpt-4o", 1_700_000_000)
    assert body["usage"] is None


def test_parts_of_a_kind_are_joined() -> None:
    content = [
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm. ")),
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Yes.")),
        pb.ContentPart(text="Hel"),
        pb.ContentPart(text="lo"),
        pb.ContentPart(refusal="N"),
        pb.ContentPart(refusal="o"),
    ]

    assert encode_message(content=content) == {
        "role": "assistant",
        "content": "Hello",
        "refusal": "No",
        "reasoning_content": "Hm. Yes.",
    }


@pytest.mark.parametrize(("billed", "told"), [("priority", "priority"), ("standard", "default"), ("", None)])
def test_the_tier_that_was_billed_is_told_where_the_answer_names_none(billed: str, told: str | None) -> None:
    answer = pb.ChatResponse(usage=pb.Usage(service_tier=billed), dialect="anthropic")

    assert encode(answer)["service_tier"] == told


def test_thinking_has_details_where_it_has_proofs() -> None:
    content = [
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm. ", signature="c2ln", issuer="anthropic")),
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Well.")),
        pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"ZW5j", issuer="anthropic")),
        pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"ZW5j", issuer="openai"), extra_json=b'{"id":"r"}'),
        pb.ContentPart(reasoning=pb.ReasoningPart(text="So."), extra_json=b'{"type":"reasoning.summary"}'),
    ]

    message = encode_message(content=content)

    assert message["reasoning_content"] == "Hm. Well.So."
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Hm. ", "signature": "tollway:anthropic:c2ln"},
        {"type": "reasoning.text", "index": 1, "text": "Well."},
        {"type": "reasoning.encrypted", "index": 2, "data": "tollway:anthropic:ZW5j"},
        {"type": "reasoning.encrypted", "index": 3, "data": "ZW5j", "id": "r"},
        {"type": "reasoning.summary", "index": 4, "summary": "So."},
    ]


def test_sources_on_the_web_are_annotations_and_others_stand_beside() -> None:
    web = pb.Citation(type="web_search_result_location", url="https://a.example", title="A", cited_text="words")
    placed = pb.Citation(
        type="url_citation", url="https://b.example", answer_start=0, answer_end=2, extra_json=b'{"x":1}'
    )
    document = pb.Citation(
        type="page_location", title="B", document_index=0, source_start=1, source_end=2, answer_start=1, answer_end=2
    )

    message = encode_message(content=[
        pb.ContentPart(text="Hel"), pb.ContentPart(text="lo", citations=[web, placed, document]),
    ])  # fmt: skip

    of = {
        "url": "https://a.example", "title": "A", "start_index": 3, "end_index": 5, "content": "words",
        "type": "web_search_result_location",
    }  # fmt: skip
    assert message["annotations"] == [
        {"type": "url_citation", "url_citation": of},
        {
            "type": "url_citation",
            "url_citation": {"url": "https://b.example", "title": "", "start_index": 3, "end_index": 5},
            "x": 1,
        },
    ]
    assert message["citations"] == [
        {
            "type": "page_location", "title": "B", "document_index": 0, "source_start": 1, "source_end": 2,
            "answer_start": 4, "answer_end": 5,
        }
    ]  # fmt: skip
    assert ChatCompletionMessage.model_validate(message, strict=True).annotations


def test_files_stand_beside_the_text() -> None:
    content = [
        pb.ContentPart(file=pb.FilePart(data=b"\0", media_type="text/plain", filename="a.txt")),
        pb.ContentPart(file=pb.FilePart(file_id="file-1")),
        pb.ContentPart(file=pb.FilePart(url="https://a.example/b")),
    ]

    assert [entry["file"] for entry in encode_message(content=content)["files"]] == [
        {"filename": "a.txt", "file_data": "data:text/plain;base64,AA=="},
        {"file_id": "file-1"},
        {"file_data": "https://a.example/b"},
    ]


def test_the_proof_of_a_call_s_thinking_is_google_s() -> None:
    (call,) = encode_message(tool_calls=[pb.ToolCall(id="c", name="f", signature="c2ln")])["tool_calls"]

    assert call["extra_content"] == {"google": {"thought_signature": "c2ln"}}


def test_fields_of_another_dialect_stand_under_its_name() -> None:
    chat = pb.ChatResponse(
        dialect="anthropic",
        extra_json=b'{"container":{}}',
        usage=pb.Usage(input_tokens=1, extra_json=b'{"server_tool_use":{}}'),
        choices=[
            pb.Choice(
                message=pb.Message(
                    content=[
                        pb.ContentPart(text="Hi", extra_json=b'{"x":1}'),
                        pb.ContentPart(extra_json=b'{"type":"server_tool_use"}'),
                    ],
                    tool_calls=[pb.ToolCall(id="c", name="f", extra_json=b'{"caller":{}}')],
                    extra_json=b'{"y":1}',
                ),
                extra_json=b'{"z":1}',
            )
        ],
    )

    body = encode(chat)

    assert body["anthropic"] == {"container": {}}
    assert body["usage"]["anthropic"] == {"server_tool_use": {}}
    (choice,) = body["choices"]
    assert choice["anthropic"] == {"z": 1}
    assert choice["message"]["anthropic"] == {"y": 1}
    assert choice["message"]["tool_calls"][0]["anthropic"] == {"caller": {}}
    assert choice["message"]["content_parts"] == [
        {"part": 0, "of": "text", "anthropic": {"x": 1}},
        {"part": 1, "anthropic": {"type": "server_tool_use"}},
    ]
    assert ChatCompletion.model_validate({**body, "choices": [{**choice, "finish_reason": "stop"}]}, strict=True)


def test_sources_that_had_a_place_and_such_as_had_none_stand_together() -> None:
    text = pb.ContentPart(text="Hi", citations=[pb.Citation(url="https://a.example")])

    message = encode_message(content=[text], extra_json=b'{"annotations":[{"type":"file"}]}')

    assert [annotation["type"] for annotation in message["annotations"]] == ["url_citation", "file"]


def test_a_call_of_a_tool_of_one_s_own_has_its_name_and_input() -> None:
    (call,) = encode_message(tool_calls=[pb.ToolCall(id="c", type="custom", name="grep", arguments="x")])["tool_calls"]

    assert call == {"id": "c", "type": "custom", "custom": {"name": "grep", "input": "x"}}


def test_which_stop_sequence_it_was_is_said() -> None:
    choice = encode_choice(finish_reason=pb.FINISH_REASON_STOP, stop_sequence="END")

    assert (choice["finish_reason"], choice["stop_sequence"]) == ("stop", "END")


def test_cache_writes_that_are_kept_for_an_hour_are_told_apart() -> None:
    usage = encode(pb.ChatResponse(usage=pb.Usage(cache_write_tokens=5, cache_write_1h_tokens=3)))["usage"]

    assert usage["cache_creation"] == {"ephemeral_1h_input_tokens": 3}


def test_sound_stands_beside_the_text() -> None:
    audio = pb.ContentPart(audio=pb.AudioPart(data=b"\0\1", transcript="Hi"), extra_json=b'{"audio":{"expires_at":5}}')

    assert encode_message(content=[audio])["audio"] == {
        "id": "", "data": "AAE=", "transcript": "Hi", "expires_at": 5,
    }  # fmt: skip


def test_pictures_stand_beside_the_text() -> None:
    content = [
        pb.ContentPart(image=pb.ImagePart(url="https://example.com/a.png")),
        pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png")),
    ]

    urls = [image["image_url"]["url"] for image in encode_message(content=content)["images"]]

    assert urls == ["https://example.com/a.png", "data:image/png;base64,AA=="]


def test_a_part_of_unknown_kind_is_not_dropped() -> None:
    content = [pb.ContentPart(text="Hi"), pb.ContentPart(extra_json=b'{"type":"thinking","thinking":[]}')]

    message = encode_message(content=content)

    assert message["content"] == "Hi"
    assert message["content_parts"] == [{"type": "thinking", "thinking": []}]


def test_tool_calls_have_openai_s_shape() -> None:
    calls = [
        pb.ToolCall(id="call_1", type="function", name="f", arguments="{}", extra_json=b'{"function":{"new":1}}'),
        pb.ToolCall(id="call_2", type="custom", extra_json=b'{"custom":{"name":"grep","input":"x"}}'),
    ]

    message = encode_message(tool_calls=calls)

    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "new": 1}},
        {"id": "call_2", "type": "custom", "custom": {"name": "grep", "input": "x"}},
    ]


def test_log_probabilities_have_openai_s_shape() -> None:
    top = pb.TokenLogprob(token="Ho", logprob=-2.0)
    token = pb.TokenLogprob(token="é", logprob=-0.5, token_bytes="é".encode(), top=[top])

    assert encode_choice(logprobs=pb.Logprobs(content=[token]))["logprobs"] == {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": None}],
            }
        ],
        "refusal": None,
    }
    assert encode_choice(logprobs=pb.Logprobs(refusal=[top]))["logprobs"]["content"] is None
    assert encode_choice(logprobs=pb.Logprobs())["logprobs"] == {"content": [], "refusal": None}


def test_every_finish_reason_has_openai_s_name() -> None:
    names = [
        encode_choice(finish_reason=reason)["finish_reason"]
        for reason in (
            pb.FINISH_REASON_UNSPECIFIED,
            pb.FINISH_REASON_STOP,
            pb.FINISH_REASON_LENGTH,
            pb.FINISH_REASON_TOOL_CALLS,
            pb.FINISH_REASON_CONTENT_FILTER,
            pb.FINISH_REASON_FUNCTION_CALL,
        )
    ]

    assert names == [None, "stop", "length", "tool_calls", "content_filter", "function_call"]


def test_a_reason_openai_has_no_name_for_is_told_in_the_provider_s_words() -> None:
    choice = encode_choice(finish_reason=pb.FINISH_REASON_OTHER, native_finish_reason="pause_turn")

    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("pause_turn", "pause_turn")
    assert encode_choice(finish_reason=pb.FINISH_REASON_OTHER)["finish_reason"] == "stop"


def test_more_kinds_of_tokens_are_shown_where_there_are_any() -> None:
    usage = pb.Usage(
        input_tokens=10, output_tokens=5, cache_write_tokens=3, input_image_tokens=2, output_image_tokens=1,
        extra_json=b'{"cost":0.5,"prompt_tokens_details":{"text_tokens":8}}',
    )  # fmt: skip

    shown = encode(pb.ChatResponse(usage=usage))["usage"]

    assert shown["prompt_tokens_details"] == {
        "cached_tokens": 0,
        "audio_tokens": 0,
        "cache_write_tokens": 3,
        "image_tokens": 2,
        "text_tokens": 8,
    }
    assert shown["completion_tokens_details"]["image_tokens"] == 1
    assert shown["cost"] == 0.5


def test_a_total_that_a_provider_sums_up_otherwise_is_its_own() -> None:
    usage = pb.Usage(input_tokens=10, output_tokens=5, extra_json=b'{"total_tokens":20}')

    assert encode(pb.ChatResponse(usage=usage))["usage"]["total_tokens"] == 20


def test_what_is_put_back_never_displaces_what_is_known() -> None:
    target: dict[str, Any] = {"a": 1, "b": {"c": 2}, "d": None}

    put_back(target, b'{"a":9,"b":{"c":9,"x":3},"d":4,"e":[5]}')

    assert target == {"a": 1, "b": {"c": 2, "x": 3}, "d": 4, "e": [5]}


def test_details_that_a_provider_told_itself_stand_in_place_of_others() -> None:
    details = [{"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "s", "format": "f"}]
    thought = pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm.", signature="s", issuer="openai"))
    extra = json.dumps({"reasoning_details": details}).encode()

    said = encode_message(content=[thought], extra_json=extra)

    assert said["reasoning_details"] == details


def test_what_can_stand_beside_a_text_is_known_where_texts_alone_are_told_apart() -> None:
    beside = {field.name for field in pb.ContentPart.DESCRIPTOR.fields if field.containing_oneof is None}
    # Whoever adds a field adds it to both `_is_plain`, here and in the providers' openai adapter.
    assert beside == {"citations", "cache_control", "extra_json"}
