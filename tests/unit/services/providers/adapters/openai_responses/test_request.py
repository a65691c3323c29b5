from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai_responses import encode_request
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def message(*parts: chat_pb2.ContentPart, role: chat_pb2.Role.ValueType = chat_pb2.ROLE_USER, **fields: Any) -> Any:
    return chat_pb2.Message(role=role, content=parts, **fields)


HI = message(part(text="Hi"))
SAMPLING = chat_pb2.SamplingOptions


def asking(*messages: chat_pb2.Message, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=messages or [HI], **fields)


def body_of(chat: chat_pb2.ChatRequest, model: str = "m", stream: bool = False) -> dict[str, Any]:
    encoded = encode_request(chat, model, stream, Unsaid())
    assert encoded.path == "/responses"
    body: dict[str, Any] = json.loads(encoded.body)
    return body


def refusal_of(chat: chat_pb2.ChatRequest) -> TollwayError:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, "m", False, Unsaid())
    return caught.value


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.ChatRequest(), "chat.messages"),
        (asking(chat_pb2.Message()), "chat.messages[0].role"),
        (asking(message(part())), "chat.messages[0].content[0]"),
        (asking(message(part(image=chat_pb2.ImagePart()))), "chat.messages[0].content[0].image"),
        (asking(message(part(file=chat_pb2.FilePart()))), "chat.messages[0].content[0].file"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(tools=[chat_pb2.ToolDefinition(parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (asking(tool_choice=chat_pb2.ToolChoice()), "chat.tool_choice.mode"),
        (asking(response_format=chat_pb2.ResponseFormat()), "chat.response_format.kind"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(chat: chat_pb2.ChatRequest, field: str) -> None:
    error = refusal_of(chat)
    assert error.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (asking(sampling=SAMPLING(stop=["x"])), "chat.sampling.stop"),
        (asking(sampling=SAMPLING(seed=0)), "chat.sampling.seed"),
        (asking(sampling=SAMPLING(top_k=4)), "chat.sampling.top_k"),
        (asking(sampling=SAMPLING(frequency_penalty=1)), "chat.sampling.frequency_penalty"),
        (asking(sampling=SAMPLING(presence_penalty=1)), "chat.sampling.presence_penalty"),
        (asking(sampling=SAMPLING(logit_bias={"1": 2})), "chat.sampling.logit_bias"),
        (asking(choice_count=2), "chat.choice_count"),
        (asking(modalities=["text", "audio"]), "chat.modalities"),
        (asking(reasoning_budget_tokens=9), "chat.reasoning_budget_tokens"),
        (asking(message(part(text="Hi"), name="Ann")), "chat.messages[0].name"),
        (asking(message(part(audio=chat_pb2.AudioPart(data=b"x")))), "chat.messages[0].content[0].audio"),
        (
            asking(message(part(image=chat_pb2.ImagePart(url="u")), role=chat_pb2.ROLE_ASSISTANT)),
            "chat.messages[0].content[0].image",
        ),
        (asking(message(part(text="1"), role=chat_pb2.ROLE_FUNCTION)), "chat.messages[0].role"),
        (asking(extra_json=b'{"web_search_options":{}}'), "chat.web_search_options"),
        (asking(dialect="gemini", extra_json=b'{"safetySettings":[{}]}'), "chat.safetySettings"),
        (asking(tools=[chat_pb2.ToolDefinition(type="web_search")]), "chat.tools[0]"),
        (asking(tool_choice=chat_pb2.ToolChoice(extra_json=b'{"type":"x"}')), "chat.tool_choice"),
        (asking(message(part(extra_json=b'{"type":"video_url"}'))), "chat.messages[0].content[0]"),
    ],
)
def test_what_responses_cannot_say_is_refused_by_its_place(chat: chat_pb2.ChatRequest, field: str) -> None:
    error = refusal_of(chat)
    assert error.reason is Reason.UNSUPPORTED_FEATURE
    assert [violation.field for violation in error.violations] == [field]


def test_nothing_is_kept_at_openai_unless_the_client_says_so() -> None:
    assert body_of(asking())["store"] is False
    assert body_of(asking(extra_json=b'{"store":true}'))["store"] is True


@pytest.mark.parametrize(
    ("chat", "model", "asked"),
    [
        (asking(), "gpt-4o", False),
        (asking(), "gpt-5-chat-latest", False),
        (asking(), "o3-pro", True),
        (asking(), "gpt-5.1-codex-max", True),
        (asking(reasoning_effort="low"), "my-model", True),
        (asking(extra_json=b'{"store":true}'), "o3-pro", False),
    ],
)
def test_thinking_that_can_be_sent_back_is_asked_of_models_that_think(
    chat: chat_pb2.ChatRequest, model: str, asked: bool
) -> None:
    assert ("reasoning.encrypted_content" in body_of(chat, model).get("include", [])) is asked


@pytest.mark.parametrize(("model", "said"), [("gpt-4o", None), ("gpt-5.1", {"effort": "none"})])
def test_a_model_that_is_not_known_to_think_is_not_told_not_to(model: str, said: dict[str, Any] | None) -> None:
    assert body_of(asking(dialect="anthropic", reasoning_budget_tokens=0), model).get("reasoning") == said


@pytest.mark.parametrize(("dialect", "strict"), [("", False), ("anthropic", False), ("openai_responses", None)])
def test_a_tool_is_not_held_to_its_schema_unless_somebody_asked_for_that(dialect: str, strict: bool | None) -> None:
    chat = asking(dialect=dialect, tools=[chat_pb2.ToolDefinition(name="f")])
    assert body_of(chat)["tools"][0].get("strict") is strict


def test_the_lower_of_two_caps_holds() -> None:
    assert body_of(asking(sampling=SAMPLING(max_tokens=5, max_output_tokens=9)))["max_output_tokens"] == 5


def test_thinking_goes_back_as_it_came_and_only_to_whom_it_came_from() -> None:
    own = chat_pb2.ReasoningPart(text="Hm.", redacted=b"rs_1:enc", issuer="openai_responses")
    foreign = chat_pb2.ReasoningPart(redacted=b"enc", issuer="anthropic")
    unproven = chat_pb2.ReasoningPart(text="So.")
    unsaid = Unsaid()
    parts = [part(reasoning=each) for each in (own, foreign, unproven)]
    encoded = encode_request(asking(message(*parts, role=chat_pb2.ROLE_ASSISTANT), HI), "m", False, unsaid)
    first, second = json.loads(encoded.body)["input"]
    summary = [{"type": "summary_text", "text": "Hm."}]
    assert first == {"type": "reasoning", "summary": summary, "id": "rs_1", "encrypted_content": "enc"}
    assert second == {"role": "user", "content": "Hi"}
    assert unsaid.dropped == ["chat.messages[0].content[1]", "chat.messages[0].content[2]"]


def test_a_proof_that_reached_the_client_by_another_way_goes_back_without_an_id() -> None:
    thought = part(reasoning=chat_pb2.ReasoningPart(redacted=b"gAAAA==", issuer="openai_responses"))
    (item,) = body_of(asking(message(thought, role=chat_pb2.ROLE_ASSISTANT)))["input"]
    assert item == {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA=="}


def test_thinking_that_was_told_in_full_goes_back_in_full() -> None:
    told = b'{"summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]}'
    thought = part(reasoning=chat_pb2.ReasoningPart(text="Hm."), extra_json=told)
    said = message(thought, role=chat_pb2.ROLE_ASSISTANT)
    (item,) = body_of(asking(said, dialect="openai_responses"))["input"]
    assert item == {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}


def test_a_client_s_own_tool_is_told_as_responses_have_it_where_a_chat_client_has_one() -> None:
    call = chat_pb2.ToolCall(id="call_1", type="custom", extra_json=b'{"custom":{"name":"grep","input":"a b"}}')
    called = message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
    result = message(part(text="2"), role=chat_pb2.ROLE_TOOL, tool_call_id="call_1")
    tool = chat_pb2.ToolDefinition(
        type="custom",
        extra_json=b'{"custom":{"name":"grep","description":"Greps.","format":'
        b'{"type":"grammar","grammar":{"syntax":"lark","definition":"a"}}}}',
    )
    body = body_of(asking(called, result, tools=[tool]))
    grammar = {"type": "grammar", "syntax": "lark", "definition": "a"}
    assert body["tools"] == [{"type": "custom", "name": "grep", "description": "Greps.", "format": grammar}]
    assert body["input"] == [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "grep", "input": "a b"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "2"},
    ]


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = asking(dialect="openai_responses", extra_json=b'{"text":{"verbosity":"low"},"include":["x"]}')
    chat.response_format.kind = chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT
    before = chat.SerializeToString(deterministic=True)
    body_of(chat, stream=True)
    assert chat.SerializeToString(deterministic=True) == before
