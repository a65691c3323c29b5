from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.cohere import encode_request
from services.providers.domain.unsaid import Unsaid
from tests.providers.test_fixtures import ROOT, read_request
from tollway.chat.v1 import chat_pb2

ASSISTANT, USER, TOOL = chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_USER, chat_pb2.ROLE_TOOL
REQUIRED, NAMED = chat_pb2.TOOL_CHOICE_MODE_REQUIRED, chat_pb2.TOOL_CHOICE_MODE_NAMED


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def saying(*parts: chat_pb2.ContentPart, role: chat_pb2.Role.ValueType = USER, **fields: Any) -> chat_pb2.ChatRequest:
    return asking(messages=[chat_pb2.Message(role=role, content=parts, **fields)])


def asking(**fields: Any) -> chat_pb2.ChatRequest:
    messages = fields.pop("messages", [chat_pb2.Message(role=USER, content=[part(text="Hi")])])
    return chat_pb2.ChatRequest(messages=messages, **fields)


def body_of(chat: chat_pb2.ChatRequest, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(chat, "m", stream, Unsaid()).body)
    return body


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.ChatRequest(), "chat.messages"),
        (saying(part(text="")), "chat.messages"),
        (asking(messages=[chat_pb2.Message(content=[part(text="x")])]), "chat.messages[0].role"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(tools=[chat_pb2.ToolDefinition(name="f", parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (
            asking(tools=[chat_pb2.ToolDefinition(name="f")], tool_choice=chat_pb2.ToolChoice()),
            "chat.tool_choice.mode",
        ),
        (asking(tool_choice=chat_pb2.ToolChoice(mode=REQUIRED)), "chat.tool_choice"),
        (
            asking(
                tools=[chat_pb2.ToolDefinition(name="f")],
                tool_choice=chat_pb2.ToolChoice(mode=NAMED, name="g"),
            ),
            "chat.tool_choice",
        ),
        (asking(response_format=chat_pb2.ResponseFormat()), "chat.response_format.kind"),
        (saying(part()), "chat.messages[0].content[0]"),
        (saying(part(image=chat_pb2.ImagePart())), "chat.messages[0].content[0].image"),
        (saying(part(text="a", extra_json=b"null")), "chat.messages[0].content[0].extra_json"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(chat: chat_pb2.ChatRequest, field: str) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, "m", False, Unsaid(allowed=True))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (asking(extra_json=b'{"verbosity": "low"}'), "chat.verbosity"),
        (asking(choice_count=2), "chat.choice_count"),
        (asking(sampling=chat_pb2.SamplingOptions(top_logprobs=3)), "chat.sampling.top_logprobs"),
        (asking(sampling=chat_pb2.SamplingOptions(logit_bias={"1": 2})), "chat.sampling.logit_bias"),
        (asking(service_tier="flex"), "chat.service_tier"),
        (saying(part(text="a"), part(audio=chat_pb2.AudioPart(data=b"x"))), "chat.messages[0].content[1].audio"),
        (
            saying(part(text="a"), part(file=chat_pb2.FilePart(data=b"\xff", media_type="text/plain"))),
            "chat.messages[0].content[1].file",
        ),
        (
            saying(part(text="a"), part(image=chat_pb2.ImagePart(data=b"x")), role=TOOL, tool_call_id="a"),
            "chat.messages[0].content[1].image",
        ),
        (
            asking(
                tools=[chat_pb2.ToolDefinition(name="f", strict=True), chat_pb2.ToolDefinition(name="g", strict=False)]
            ),
            "chat.tools[0].strict",
        ),
    ],
)
def test_what_cohere_cannot_be_told_is_refused_by_name_and_left_out_where_that_is_allowed(
    chat: chat_pb2.ChatRequest, field: str
) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, "m", False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE
    assert [violation.field for violation in caught.value.violations] == [field]
    unsaid = Unsaid(allowed=True)
    encode_request(chat, "m", False, unsaid)
    assert unsaid.dropped == [field]


def test_what_says_nothing_is_not_refused() -> None:
    extra = b'{"store": false, "stream": true, "stream_options": {"include_usage": true}, "audio": null}'
    chat = asking(extra_json=extra, service_tier="default", choice_count=1, modalities=["text"])
    assert body_of(chat) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


def test_the_model_asked_and_how_are_not_the_client_s_to_say() -> None:
    chat = asking(dialect="cohere", extra_json=b'{"model": "other", "messages": [], "stream": false}')
    body = body_of(chat, stream=True)
    assert (body["model"], len(body["messages"]), body["stream"]) == ("m", 1, True)


def test_a_tool_named_is_the_only_one_that_is_offered() -> None:
    tools = [chat_pb2.ToolDefinition(name="f", strict=True), chat_pb2.ToolDefinition(name="g")]
    body = body_of(asking(tools=tools, tool_choice=chat_pb2.ToolChoice(mode=NAMED, name="f")))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert (body["tool_choice"], body["strict_tools"]) == ("REQUIRED", True)


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = read_request(ROOT / "cohere" / "every_parameter" / "request.json")
    before = chat.SerializeToString(deterministic=True)
    encode_request(chat, "m", True, Unsaid(allowed=True))
    assert chat.SerializeToString(deterministic=True) == before
