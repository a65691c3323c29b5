"""What a client of the Responses writes reaches OpenAI as it was written, but for labels of what was stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http import openai_responses
from gateway_http.json_input import read_object
from services.providers.adapters.openai_responses import encode_request
from services.providers.domain.unsaid import Unsaid

USER = {"role": "user", "content": "Hi"}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "enc"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}", "namespace": "n"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
CITED = {
    "type": "output_text",
    "text": "See.",
    "annotations": [
        {"type": "url_citation", "url": "https://example.com", "title": "E", "start_index": 0, "end_index": 3},
        {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 2},
    ],
}


def answer(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), **fields}


def saying(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text, **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 9, "service_tier": "flex", "user": "ann"},
        {"metadata": {"a": "b"}, "parallel_tool_calls": False, "max_tool_calls": 3, "truncation": "auto"},
        {"prompt_cache_key": "k", "safety_identifier": "s", "new": {"big": 123456789012345678901234567890}},
        {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
        {"reasoning": {"effort": "low", "summary": "auto", "context": "all_turns"}},
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]},
        {"tools": [{"type": "web_search", "search_context_size": "low"}, {"type": "mcp", "server_label": "s"}]},
        {"tools": [{"type": "custom", "name": "grep", "description": "d", "format": {"type": "text"}}]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "name": "f"}},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        {"include": ["file_search_call.results"]},
        {"input": [{"role": "developer", "content": "Be brief."}, USER]},
        {"input": [USER, saying("a", phase="commentary"), saying("b", phase="final_answer")]},
        {"input": [USER, REASONING, answer(CITED, {"type": "refusal", "refusal": "No."}), USER]},
        {"input": [USER, REASONING, CALL, {"type": "function_call_output", "call_id": "call_1", "output": "1"}]},
        {"input": [USER, SEARCH, saying("a"), USER]},
        {
            "input": [
                {"type": "custom_tool_call", "call_id": "call_1", "name": "grep", "input": "a b"},
                {"type": "custom_tool_call_output", "call_id": "call_1", "output": "2"},
                {"type": "computer_call", "call_id": "call_2", "action": {"type": "screenshot"}, "status": "completed"},
                {"type": "computer_call_output", "call_id": "call_2", "output": {"type": "computer_screenshot"}},
            ]
        },
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "low"},
                        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
                        {"type": "input_file", "file_data": "data:text/plain;base64,JVBERg==", "filename": "a"},
                        {"type": "input_file", "file_url": "https://a.example/b.pdf"},
                        {"type": "input_text", "text": "And?", "prompt_cache_breakpoint": {"mode": "explicit"}},
                    ],
                }
            ]
        },
    ],
)  # fmt: skip
def test_a_question_reaches_openai_as_it_was_written(fields: dict[str, Any]) -> None:
    question = {"model": "gpt-4o", "input": [USER], "store": False, **fields}

    chat = openai_responses.decode(read_object(json.dumps(question).encode()), max_messages=10).request.chat
    sent = json.loads(encode_request(chat, "gpt-4o", False, Unsaid()).body)

    thinks = "reasoning" in fields or REASONING in question["input"]
    expected = [*fields.get("include", []), *(["reasoning.encrypted_content"] if thinks else [])]
    assert sent.pop("include", []) == expected
    question.pop("include", None)
    assert sent == question
