"""What the edge reads, the adapter for Anthropic writes, and the other way round: nothing may be lost in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http import anthropic
from services.providers.adapters import anthropic as adapter
from services.providers.domain.unsaid import Unsaid
from tests.unit.gateway_http.anthropic.reading import RECEIPT, encoder, events, put_together

USER = {"role": "user", "content": "Hi"}
MARK = {"type": "ephemeral", "ttl": "1h"}
TEXT = {"type": "text", "text": "a", "cache_control": MARK}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Ulm"}, "caller": {"type": "direct"}}
ENABLED = {"enabled": True}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
CITED: dict[str, Any] = {
    "type": "char_location", "cited_text": "c", "document_index": 0, "document_title": "A",
    "start_char_index": 0, "end_char_index": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": "Be brief."},
        {"system": [TEXT, {"type": "text", "text": "b"}]},
        {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["a"], "metadata": {"user_id": "ann"}},
        {"service_tier": "standard_only", "container": "c", "inference_geo": "eu", "new": {"a": 1}},
        {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max", "x": 1}},
        {"thinking": {"type": "disabled"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {
            "tools": [
                {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "x": 1},
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "cache_control": MARK},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        },
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"}},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAE="}},
                        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}, "x": 1},
                        {"type": "image", "source": {"type": "file", "file_id": "f"}, "cache_control": MARK},
                        {"type": "document", "source": PDF, "title": "A", "context": "c", "citations": ENABLED},
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä"}},
                        {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
                        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
                        {"type": "search_result", "source": "s", "title": "t", "content": []},
                        TEXT,
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                        {"type": "redacted_thinking", "data": "EmwK"},
                        {"type": "text", "text": "a", "citations": [CITED]},
                        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                        CALL,
                        {**CALL, "id": "toolu_2", "cache_control": MARK},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 °C", "is_error": True},
                        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [TEXT], "x": 1},
                        {"type": "text", "text": "Well?"},
                    ],
                },
            ]
        },
    ],
)  # fmt: skip
def test_a_question_reaches_anthropic_as_it_was_written(fields: dict[str, Any]) -> None:
    question = {"model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": [USER], **fields}
    unsaid = Unsaid()

    chat = anthropic.decode(json.loads(json.dumps(question)), max_messages=10).request.chat
    told = json.loads(adapter.encode_request(chat, "claude-sonnet-4-5", False, unsaid).body)

    assert told == question
    assert not unsaid.dropped


STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
    }},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "EmwK"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "", "citations": []}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Let"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": " me"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "citations_delta", "citation": CITED}},
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3,
     "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": '{"query":"q"}'}},
    {"type": "content_block_stop", "index": 3},
    {"type": "content_block_start", "index": 4, "content_block": {**CALL, "input": {}}},
    {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '{"city":'}},
    {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '"Ulm"}'}},
    {"type": "content_block_stop", "index": 4},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"output_tokens": 30}},
    {"type": "message_stop"},
]  # fmt: skip


@given(st.integers(1, 3000))
def test_a_stream_reaches_the_client_as_anthropic_wrote_it(size: int) -> None:
    sent = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in STREAM)
    decoder, making, written = adapter.stream_decoder(1, 1 << 20), encoder(), b""

    for begin in range(0, len(sent), size):
        for chunk in decoder.feed(sent[begin : begin + size]):
            written += making.encode(chunk)
    made = put_together(events(written + making.finish(RECEIPT, "0af7")))

    given_ = put_together(STREAM)
    assert made["content"] == given_["content"]
    assert (made["id"], made["model"], made["stop_reason"]) == (given_["id"], given_["model"], given_["stop_reason"])
    assert (made["usage"]["input_tokens"], made["usage"]["output_tokens"]) == (9, 30)
