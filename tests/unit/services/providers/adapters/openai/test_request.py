from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai import encode_request
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2


def asking(**fields: Any) -> chat_pb2.ChatRequest:
    messages = fields.pop("messages", [chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[part(text="Hi")])])
    return chat_pb2.ChatRequest(messages=messages, **fields)


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def saying(*parts: chat_pb2.ContentPart, **fields: Any) -> chat_pb2.ChatRequest:
    return asking(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=parts, **fields)])


def body_of(chat: chat_pb2.ChatRequest, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(chat, "m", stream, Unsaid()).body)
    return body


DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.ChatRequest(), "chat.messages"),
        (asking(messages=[chat_pb2.Message()]), "chat.messages[0].role"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(extra_json=b"[1]"), "chat.extra_json"),
        (asking(extra_json=DEEP), "chat.extra_json"),
        (asking(tools=[chat_pb2.ToolDefinition(name="f", parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (asking(tools=[chat_pb2.ToolDefinition(extra_json=b"1")]), "chat.tools[0].extra_json"),
        (asking(tool_choice=chat_pb2.ToolChoice()), "chat.tool_choice.mode"),
        (asking(tool_choice=chat_pb2.ToolChoice(extra_json=b"]")), "chat.tool_choice.extra_json"),
        (asking(response_format=chat_pb2.ResponseFormat()), "chat.response_format.kind"),
        (
            asking(
                response_format=chat_pb2.ResponseFormat(
                    kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=b'"x"'
                )
            ),
            "chat.response_format.schema_json",
        ),
        (saying(part()), "chat.messages[0].content[0]"),
        (saying(part(image=chat_pb2.ImagePart())), "chat.messages[0].content[0].image"),
        (saying(part(text="a"), part(file=chat_pb2.FilePart())), "chat.messages[0].content[1].file"),
        (saying(part(text="a", extra_json=b"null")), "chat.messages[0].content[0].extra_json"),
        (saying(tool_calls=[chat_pb2.ToolCall(extra_json=b"-")]), "chat.messages[0].tool_calls[0].extra_json"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(chat: chat_pb2.ChatRequest, field: str) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, "m", False, Unsaid())
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_picture_known_only_by_its_file_id_cannot_be_said_in_this_dialect() -> None:
    with pytest.raises(TollwayError, match=r"content\[0\]\.image\.file_id") as caught:
        encode_request(saying(part(image=chat_pb2.ImagePart(file_id="f"))), "m", False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_the_model_asked_is_the_provider_s_own_name_for_it_whatever_the_client_said() -> None:
    chat = asking(model="alias", extra_json=b'{"model": "other", "messages": []}')
    assert body_of(chat)["model"] == "m"
    assert len(body_of(chat)["messages"]) == 1


def test_usage_is_asked_for_even_where_the_client_declined_it() -> None:
    chat = asking(extra_json=b'{"stream_options": {"include_usage": false, "include_obfuscation": false}}')
    assert body_of(chat, stream=True)["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_stream_options_stay_away_from_a_call_that_is_not_streamed() -> None:
    chat = asking(extra_json=b'{"stream": true, "stream_options": {"include_usage": true}}')
    assert body_of(chat).keys() == {"model", "messages"}


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = asking(extra_json=b'{"stream_options": {"x": 1}}', tools=[chat_pb2.ToolDefinition(name="f")])
    before = chat.SerializeToString(deterministic=True)
    encode_request(chat, "m", True, Unsaid())
    assert chat.SerializeToString(deterministic=True) == before


def test_thinking_that_another_provider_signed_travels_as_text_alone() -> None:
    thinking = chat_pb2.ReasoningPart(text="Hm.", signature="s", redacted=b"r")
    chat = asking(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content=[part(reasoning=thinking), part(text="Hi")])]
    )
    assert body_of(chat)["messages"] == [{"role": "assistant", "reasoning_content": "Hm.", "content": "Hi"}]


def test_an_unknown_role_travels_as_it_was_given() -> None:
    chat = asking(messages=[chat_pb2.Message(content=[part(text="Hi")], extra_json=b'{"role": "critic"}')])
    assert body_of(chat)["messages"] == [{"role": "critic", "content": "Hi"}]


@pytest.mark.parametrize(("model", "effort"), [("gpt-4o", None), ("gpt-5.1", "none"), ("qwen/qwen3-32b", "none")])
def test_a_model_that_is_not_known_to_think_is_not_told_not_to(model: str, effort: str | None) -> None:
    encoded = encode_request(asking(dialect="anthropic", reasoning_budget_tokens=0), model, False, Unsaid())
    assert json.loads(encoded.body).get("reasoning_effort") == effort


@pytest.mark.parametrize("dialect", ["", "openai_responses"])
def test_what_another_dialect_said_of_an_earlier_answer_is_left_out_and_listed(dialect: str) -> None:
    remark = b'{"anthropic":{"x":1}}'
    call = chat_pb2.ToolCall(id="c", name="f", arguments="{}", extra_json=remark)
    parts = [part(extra_json=remark), part(text="Hi", extra_json=b'{"gemini":{"x":1}}'), part(extra_json=remark)]
    answer = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content=parts, tool_calls=[call], extra_json=remark)
    unsaid = Unsaid()

    body = json.loads(
        encode_request(asking(messages=[answer], extra_json=remark, dialect=dialect), "m", False, unsaid).body
    )

    function = {"name": "f", "arguments": "{}"}
    assert body == {
        "model": "m",
        "messages": [
            {
                "role": "assistant",
                "content": "Hi",
                "tool_calls": [{"id": "c", "type": "function", "function": function}],
            }
        ],
    }
    assert unsaid.dropped == [
        "chat.anthropic",
        "chat.messages[0].content[0].anthropic",
        "chat.messages[0].content[1].gemini",
        "chat.messages[0].content[2].anthropic",
        "chat.messages[0].tool_calls[0].anthropic",
        "chat.messages[0].anthropic",
    ]


def test_what_this_dialect_said_goes_back_to_it_whoever_the_client_is() -> None:
    video = part(extra_json=b'{"openai":{"type":"video_url","video_url":{"url":"u"}}}')
    chat = saying(video, part(text="Hi", extra_json=b'{"openai":{"new":1}}'))
    chat.dialect = "anthropic"
    assert body_of(chat)["messages"][0]["content"] == [
        {"type": "video_url", "video_url": {"url": "u"}},
        {"type": "text", "text": "Hi", "new": 1},
    ]


def test_a_field_that_is_called_as_a_dialect_is_and_is_no_remark_is_the_client_s_own() -> None:
    assert body_of(asking(extra_json=b'{"gemini":true}'))["gemini"] is True


def test_an_answer_of_which_nothing_can_be_told_is_no_message() -> None:
    def said(role: chat_pb2.Role.ValueType, *parts: chat_pb2.ContentPart) -> chat_pb2.Message:
        return chat_pb2.Message(role=role, content=parts)

    proven = chat_pb2.ReasoningPart(text="Hm.", signature="s", issuer="anthropic")
    unsaid = Unsaid()
    thought = said(chat_pb2.ROLE_ASSISTANT, part(reasoning=proven), part(extra_json=b'{"anthropic":{}}'))
    chat = asking(messages=[said(chat_pb2.ROLE_USER, part(text="Hi")), thought])

    assert json.loads(encode_request(chat, "m", False, unsaid).body)["messages"] == [{"role": "user", "content": "Hi"}]
    assert unsaid.dropped == ["chat.messages[1].content[0]", "chat.messages[1].content[1].anthropic"]
