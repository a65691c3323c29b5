from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion

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


def test_sound_stands_beside_the_text() -> None:
    audio = pb.ContentPart(audio=pb.AudioPart(data=b"\0\1", transcript="Hi"), extra_json=b'{"audio":{"expires_at":5}}')

    assert encode_message(content=[audio])["audio"] == {"data": "AAE=", "transcript": "Hi", "expires_at": 5}


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
