"""What the edge reads, a provider's adapter writes, and the other way round: nothing may be lost in between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http import openai_chat
from gateway_http.dialect import Identity
from gateway_http.json_input import read_object
from gateway_http.openai_chat.response import encode_completion
from services.providers.adapters.openai import decode_response, encode_request
from services.providers.domain.unsaid import Unsaid

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "new": 1}, "x": 2}
SOUND = {"id": "audio_1", "data": "AA==", "expires_at": 1_700_003_600, "transcript": "a"}
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True, "new": 1},
}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.5, "top_p": 1.0, "seed": 7, "n": 2, "max_tokens": 5, "max_completion_tokens": 6, "top_k": 4},
        {"logprobs": True, "top_logprobs": 2, "logit_bias": {"50256": -100}, "stop": ["a", "b"], "user": "ann"},
        {"reasoning_effort": "low", "modalities": ["text"], "service_tier": "flex", "metadata": {"a": "b"}},
        {"store": True, "prediction": {"type": "content"}, "min_p": 0.1, "web_search_options": {}, "verbosity": "low"},
        {"tools": [TOOL, {"type": "custom", "custom": {"name": "grep"}}], "parallel_tool_calls": False},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}, "new": 1}},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object", "new": 1}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "x": 1}}},
        {"response_format": {"type": "grammar", "grammar": "root"}},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi", "name": "Ann"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "42"}]},
        {"messages": [{"role": "function", "name": "f", "content": "42"}]},
        {"messages": [{"role": "assistant", "content": None, "refusal": "No."}]},
        {"messages": [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm."}]},
        {"messages": [{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}]},
        {"messages": [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low", "x": 1}},
                        {"type": "input_audio", "input_audio": {"data": "AAE=", "format": "wav"}},
                        {"type": "file", "file": {"file_data": "data:text/plain;base64,JVBERg==", "filename": "a"}},
                        {"type": "file", "file": {"file_data": "JVBERg=="}},
                        {"type": "file", "file": {"file_id": "file-1"}},
                        {"type": "video_url", "video_url": {"url": "https://example.com/v"}},
                        {"type": "text", "text": "And this?", "prompt_cache_breakpoint": {"mode": "explicit"}},
                    ],
                }
            ]
        },
    ],
)  # fmt: skip
def test_a_request_reaches_a_provider_as_it_was_written(fields: dict[str, Any]) -> None:
    question = {"model": "gpt-4o", "messages": [USER], **fields}

    chat = openai_chat.decode(read_object(json.dumps(question).encode()), max_messages=10).request.chat

    assert json.loads(encode_request(chat, "gpt-4o", False, Unsaid()).body) == question


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"role": "assistant", "content": "Hi", "refusal": None}, "finish_reason": "stop"},
        {"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "content_filter"},
        {
            "message": {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL], "annotations": []},
            "finish_reason": "tool_calls",
            "content_filter_results": {"hate": {"filtered": False}},
        },
        {
            "message": {"role": "assistant", "content": "a", "refusal": None, "audio": SOUND},
            "logprobs": {
                "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}],
                "refusal": None,
            },
            "finish_reason": "length",
        },
    ],
)  # fmt: skip
def test_an_answer_reaches_the_client_as_the_provider_wrote_it(choice: dict[str, Any]) -> None:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o",
        "choices": [{"index": 0, "logprobs": None, **choice}],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 1,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "citations": ["https://example.com"],
    }

    chat = decode_response(json.dumps(answer).encode())

    assert json.loads(encode_completion(chat, Identity("req_1", "gpt-4o", 0.0))) == answer
