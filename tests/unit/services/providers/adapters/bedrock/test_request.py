from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.model import OperationModel  # type: ignore[import-untyped]
from botocore.serialize import create_serializer  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from mesh.errors import Reason, TollwayError
from services.providers.adapters.bedrock import decode_count, encode_count, encode_request
from services.providers.domain.unsaid import Unsaid
from tests.providers.test_fixtures import ROOT, read_request
from tollway.chat.v1 import chat_pb2

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ASSISTANT, USER, TOOL = chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_USER, chat_pb2.ROLE_TOOL
NEWER_THAN_THE_MODEL = {"every_parameter"}
"""Fixtures with a field that Bedrock does not have yet, on purpose."""


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def saying(*parts: chat_pb2.ContentPart, role: chat_pb2.Role.ValueType = USER, **fields: Any) -> chat_pb2.ChatRequest:
    return asking(messages=[chat_pb2.Message(role=role, content=parts, **fields)])


def asking(**fields: Any) -> chat_pb2.ChatRequest:
    messages = fields.pop("messages", [chat_pb2.Message(role=USER, content=[part(text="Hi")])])
    return chat_pb2.ChatRequest(messages=messages, **fields)


def body_of(chat: chat_pb2.ChatRequest, model: str = CLAUDE) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(chat, model, False, Unsaid()).body)
    return body


@pytest.fixture(scope="module")
def converse() -> OperationModel:
    return Session().get_service_model("bedrock-runtime").operation_model("Converse")


@pytest.fixture(scope="module")
def converse_stream() -> OperationModel:
    return Session().get_service_model("bedrock-runtime").operation_model("ConverseStream")


@pytest.mark.parametrize("case", sorted((ROOT / "bedrock").iterdir()), ids=lambda case: case.name)
def test_every_question_of_the_fixtures_is_one_of_the_service_model(
    case: Path, converse: OperationModel, converse_stream: OperationModel
) -> None:
    streamed = (case / "upstream.events").exists() or case.name == "finish_guardrail_stream"
    operation = converse_stream if streamed else converse
    asked = json.loads((case / "upstream_request.json").read_bytes())
    report = ParamValidator().validate({"modelId": "m", **asked}, operation.input_shape)
    assert report.has_errors() is (case.name in NEWER_THAN_THE_MODEL), report.generate_report()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        CLAUDE,
        "anthropic.claude-v2:1",
        "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:prompt/ABC:1",
    ],
)
def test_a_call_goes_where_botocore_sends_it(
    model: str, stream: bool, converse: OperationModel, converse_stream: OperationModel
) -> None:
    operation = converse_stream if stream else converse
    theirs = create_serializer("rest-json").serialize_to_request({"modelId": model}, operation)
    ours = encode_request(asking(), model, stream, Unsaid())
    assert unquote(ours.path) == unquote(theirs["url_path"])
    assert ours.path.count("/") == theirs["url_path"].count("/") == 3
    assert ours.method == theirs["method"] == "POST"


def test_a_stream_is_asked_for_in_aws_s_own_framing() -> None:
    assert encode_request(asking(), "m", True, Unsaid()).headers == {"accept": "application/vnd.amazon.eventstream"}


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.ChatRequest(), "chat.messages"),
        (saying(part(text="")), "chat.messages"),
        (asking(messages=[chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, content=[part(text="x")])]), "chat.messages"),
        (asking(messages=[chat_pb2.Message(content=[part(text="x")])]), "chat.messages[0].role"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(dialect="bedrock", extra_json=b"[1]"), "chat.extra_json"),
        (asking(tools=[chat_pb2.ToolDefinition(name="f", parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (
            asking(tools=[chat_pb2.ToolDefinition(name="f")], tool_choice=chat_pb2.ToolChoice()),
            "chat.tool_choice.mode",
        ),
        (asking(response_format=chat_pb2.ResponseFormat()), "chat.response_format.kind"),
        (saying(part()), "chat.messages[0].content[0]"),
        (saying(part(image=chat_pb2.ImagePart())), "chat.messages[0].content[0].image"),
        (saying(part(text="a"), part(file=chat_pb2.FilePart())), "chat.messages[0].content[1].file"),
        (
            saying(part(image=chat_pb2.ImagePart(url="data:image/png;base64,%%%"))),
            "chat.messages[0].content[0].image.url",
        ),
        (
            saying(role=ASSISTANT, tool_calls=[chat_pb2.ToolCall(name="f", arguments="[1]")]),
            "chat.messages[0].tool_calls[0].arguments",
        ),
        (
            saying(role=ASSISTANT, tool_calls=[chat_pb2.ToolCall(name="f", arguments='{"a":')]),
            "chat.messages[0].tool_calls[0].arguments",
        ),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(chat: chat_pb2.ChatRequest, field: str) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, CLAUDE, False, Unsaid(allowed=True))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (asking(extra_json=b'{"verbosity": "low"}'), "chat.verbosity"),
        (asking(dialect="anthropic", extra_json=b'{"container": "c"}'), "chat.container"),
        (saying(part(text="a", extra_json=b'{"weight": 1}')), "chat.messages[0].content[0].weight"),
        (saying(part(text="a"), extra_json=b'{"mood": 1}'), "chat.messages[0].mood"),
        (
            saying(part(image=chat_pb2.ImagePart(url="https://example.org/a.png"))),
            "chat.messages[0].content[0].image.url",
        ),
        (saying(part(file=chat_pb2.FilePart(file_id="f"))), "chat.messages[0].content[0].file.file_id"),
        (asking(choice_count=2), "chat.choice_count"),
        (asking(sampling=chat_pb2.SamplingOptions(seed=0)), "chat.sampling.seed"),
        (asking(sampling=chat_pb2.SamplingOptions(logprobs=True)), "chat.sampling.logprobs"),
        (
            asking(response_format=chat_pb2.ResponseFormat(kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT)),
            "chat.response_format",
        ),
        (asking(reasoning_effort="enormous"), "chat.reasoning_effort"),
        (asking(reasoning_effort="high", sampling=chat_pb2.SamplingOptions(max_tokens=800)), "chat.reasoning_effort"),
    ],
)
def test_what_converse_cannot_say_is_refused_by_name_and_left_out_where_that_is_allowed(
    chat: chat_pb2.ChatRequest, field: str
) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, CLAUDE, False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE
    assert [violation.field for violation in caught.value.violations] == [field]
    chat.messages.add(role=USER, content=[part(text="And?")])
    unsaid = Unsaid(allowed=True)
    encode_request(chat, CLAUDE, False, unsaid)
    assert unsaid.dropped == [field]


def test_what_says_nothing_is_not_refused() -> None:
    sampling = chat_pb2.SamplingOptions(logprobs=False, frequency_penalty=0, presence_penalty=0, top_logprobs=0)
    extra = b'{"store": false, "stream": true, "stream_options": {"include_usage": true}, "audio": null, "stop": []}'
    chat = asking(extra_json=extra, sampling=sampling, service_tier="auto", choice_count=1, modalities=["text"])
    assert body_of(chat) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


def test_hints_and_labels_are_left_out_without_asking() -> None:
    thinking = chat_pb2.ReasoningPart(text="Hm.", signature="s", issuer="gemini")
    chat = asking(
        messages=[
            chat_pb2.Message(role=USER, name="Ann", content=[part(text="Hi")]),
            chat_pb2.Message(role=ASSISTANT, content=[part(reasoning=thinking), part(text="Hello.")]),
            chat_pb2.Message(role=USER, content=[part(text="So?")]),
        ],
        user="u",
    )
    unsaid = Unsaid()
    encode_request(chat, CLAUDE, False, unsaid)
    assert unsaid.dropped == ["chat.messages[0].name", "chat.messages[1].content[0]", "chat.user"]


def test_a_message_between_two_of_one_role_that_says_nothing_leaves_one_turn() -> None:
    chat = asking(
        messages=[
            chat_pb2.Message(role=USER, content=[part(text="Hi")]),
            chat_pb2.Message(role=ASSISTANT, content=[part(text="")]),
            chat_pb2.Message(role=USER, content=[part(text="Hello?")]),
        ]
    )
    assert body_of(chat)["messages"] == [{"role": "user", "content": [{"text": "Hi"}, {"text": "Hello?"}]}]


def test_no_tool_may_be_called_is_said_by_offering_none_unless_some_were_called_before() -> None:
    tools, none = [chat_pb2.ToolDefinition(name="f")], chat_pb2.ToolChoice(mode=chat_pb2.TOOL_CHOICE_MODE_NONE)
    assert "toolConfig" not in body_of(asking(tools=tools, tool_choice=none))
    called = [
        chat_pb2.Message(role=USER, content=[part(text="Hi")]),
        chat_pb2.Message(role=ASSISTANT, tool_calls=[chat_pb2.ToolCall(id="a", name="f")]),
        chat_pb2.Message(role=TOOL, tool_call_id="a", content=[part(text="1")]),
    ]
    with pytest.raises(TollwayError, match=r"chat\.tool_choice"):
        body_of(asking(messages=called, tools=tools, tool_choice=none))


@pytest.mark.parametrize("given", ["call/1 ä", "x" * 65])
def test_a_call_s_id_of_another_shape_is_made_one_that_ties_it_to_its_answer(given: str) -> None:
    called = [
        chat_pb2.Message(role=ASSISTANT, tool_calls=[chat_pb2.ToolCall(id=given, name="f")]),
        chat_pb2.Message(role=TOOL, tool_call_id=given, content=[part(text="1")]),
    ]
    asked, answered = body_of(asking(messages=called))["messages"]
    made = asked["content"][0]["toolUse"]["toolUseId"]
    assert made == answered["content"][0]["toolResult"]["toolUseId"]
    assert re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", made)


@pytest.mark.parametrize(
    ("model", "effort", "said"),
    [
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (CLAUDE, "medium", {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        (CLAUDE, "none", {"thinking": {"type": "disabled"}}),
        ("global.anthropic.claude-opus-4-6-v1", "max", {"thinking": {"type": "adaptive"}}),
        ("openai.gpt-oss-20b-1:0", "medium", {"reasoning_effort": "medium"}),
        ("us.amazon.nova-2-lite-v1:0", "none", {"reasoningConfig": {"type": "disabled"}}),
        ("amazon.nova-pro-v1:0", "none", None),
        ("meta.llama4-scout-17b-instruct-v1:0", "none", None),
        ("qwen.qwen3-32b-v1:0", "high", None),
    ],
)
def test_how_hard_to_think_is_said_in_the_words_of_the_model_s_maker(
    model: str, effort: str, said: dict[str, Any] | None
) -> None:
    assert body_of(asking(reasoning_effort=effort), model).get("additionalModelRequestFields") == said


@pytest.mark.parametrize("model", ["amazon.nova-pro-v1:0", "meta.llama4-scout-17b-instruct-v1:0"])
def test_a_model_that_is_not_known_to_think_is_not_told_not_to(model: str) -> None:
    unsaid = Unsaid()
    encoded = encode_request(asking(dialect="anthropic", reasoning_budget_tokens=0), model, False, unsaid)
    assert json.loads(encoded.body).keys() == {"messages"}
    assert unsaid.dropped == []


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = read_request(ROOT / "bedrock" / "every_parameter" / "request.json")
    before = chat.SerializeToString(deterministic=True)
    encode_request(chat, CLAUDE, True, Unsaid(allowed=True))
    assert chat.SerializeToString(deterministic=True) == before


def test_tokens_are_counted_of_what_the_model_reads() -> None:
    chat = asking(
        sampling=chat_pb2.SamplingOptions(max_tokens=5),
        tools=[chat_pb2.ToolDefinition(name="f")],
        reasoning_budget_tokens=2000,
    )
    chat.messages.insert(0, chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, content=[part(text="Be brief.")]))
    encoded = encode_count(chat, CLAUDE, Unsaid())
    assert encoded.path == f"/model/{CLAUDE}/count-tokens"
    counted = json.loads(encoded.body)["input"]["converse"]
    assert counted.keys() == {"messages", "system", "toolConfig", "additionalModelRequestFields"}
    count_tokens = Session().get_service_model("bedrock-runtime").operation_model("CountTokens")
    asked = {"modelId": CLAUDE, **json.loads(encoded.body)}
    assert not ParamValidator().validate(asked, count_tokens.input_shape).has_errors()


def test_a_count_is_read_and_anything_else_is_malformed() -> None:
    assert decode_count(b'{"inputTokens": 12}') == 12
    for body in (b"", b"[]", b"{}", b'{"inputTokens": null}'):
        with pytest.raises(TollwayError) as caught:
            decode_count(body)
        assert caught.value.reason is Reason.UPSTREAM_MALFORMED
