from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.gemini import encode_request
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def user(*parts: chat_pb2.ContentPart, **fields: Any) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_USER, content=parts or [part(text="Hi")], **fields)


def asking(*messages: chat_pb2.Message, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=messages or [user()], **fields)


def calling(*calls: chat_pb2.ToolCall) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=calls)


def answering(identifier: str, text: str = "yes", **fields: Any) -> chat_pb2.Message:
    return chat_pb2.Message(
        role=chat_pb2.ROLE_TOOL, tool_call_id=identifier, content=[part(text=text)], **fields
    )  # fmt: skip


def body_of(chat: chat_pb2.ChatRequest, model: str = "gemini-3-pro") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(chat, model, False, Unsaid()).body)
    return body


CALL = chat_pb2.ToolCall(id="c", name="look", arguments="{}")
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-2.5-pro", False, "/models/gemini-2.5-pro:generateContent"),
        ("gemini-2.5-pro", True, "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("models/gemini-2.5-pro", False, "/models/gemini-2.5-pro:generateContent"),
        ("tunedModels/alps-1", False, "/tunedModels/alps-1:generateContent"),
        ("gemini-pro@001", False, "/models/gemini-pro@001:generateContent"),
        ("../files?x#y", False, "/models/..%2Ffiles%3Fx%23y:generateContent"),
    ],
)
def test_the_model_is_asked_by_its_path_and_can_name_no_other_place(model: str, stream: bool, path: str) -> None:
    assert encode_request(asking(), model, stream, Unsaid()).path == path


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.ChatRequest(), "chat.messages"),
        (asking(chat_pb2.Message()), "chat.messages[0].role"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(extra_json=b"[1]"), "chat.extra_json"),
        (asking(extra_json=DEEP, dialect="gemini"), "chat.extra_json"),
        (asking(tools=[chat_pb2.ToolDefinition(name="f", parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (asking(tool_choice=chat_pb2.ToolChoice()), "chat.tool_choice.mode"),
        (asking(response_format=chat_pb2.ResponseFormat()), "chat.response_format.kind"),
        (
            asking(
                response_format=chat_pb2.ResponseFormat(
                    kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=b'"x"'
                )
            ),
            "chat.response_format.schema_json",
        ),
        (asking(user(part())), "chat.messages[0].content[0]"),
        (asking(user(part(image=chat_pb2.ImagePart()))), "chat.messages[0].content[0].image"),
        (asking(user(part(image={"url": "data:image/png,x"}))), "chat.messages[0].content[0].image.url"),
        (asking(user(part(audio=chat_pb2.AudioPart()))), "chat.messages[0].content[0].audio"),
        (asking(user(part(file=chat_pb2.FilePart()))), "chat.messages[0].content[0].file"),
        (asking(user(part(text="a", extra_json=b"null"))), "chat.messages[0].content[0].extra_json"),
        (asking(calling(chat_pb2.ToolCall(name="f", arguments="[1]"))), "chat.messages[0].tool_calls[0].arguments"),
        (asking(calling(chat_pb2.ToolCall(name="f", arguments="{"))), "chat.messages[0].tool_calls[0].arguments"),
        (asking(answering("unheard")), "chat.messages[0].tool_call_id"),
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
        (asking(user(name="Ann")), "chat.messages[0].name"),
        (asking(user(extra_json=b'{"novel": 1}')), "chat.messages[0].novel"),
        (asking(user(part(text="a", extra_json=b'{"novel": 1}'))), "chat.messages[0].content[0].novel"),
        (asking(user(part(extra_json=b'{"type": "video_url"}'))), "chat.messages[0].content[0]"),
        (asking(user(part(image={"file_id": "file-1"}))), "chat.messages[0].content[0].image.file_id"),
        (asking(user(part(file={"file_id": "file-1"}))), "chat.messages[0].content[0].file.file_id"),
        (asking(user(part(audio={"id": "audio-1"}))), "chat.messages[0].content[0].audio.id"),
        (asking(calling(chat_pb2.ToolCall(type="custom", id="c"))), "chat.messages[0].tool_calls[0].type"),
        (asking(tools=[chat_pb2.ToolDefinition(type="custom")]), "chat.tools[0].type"),
        (asking(tools=[chat_pb2.ToolDefinition(name="f", extra_json=b'{"novel": 1}')]), "chat.tools[0].novel"),
        (asking(tool_choice=chat_pb2.ToolChoice(extra_json=b'{"type": "x"}')), "chat.tool_choice"),
        (asking(parallel_tool_calls=False, tools=[{"name": "f"}]), "chat.parallel_tool_calls"),
        (asking(response_format=chat_pb2.ResponseFormat(extra_json=b'{"type": "grammar"}')), "chat.response_format"),
        (asking(sampling=chat_pb2.SamplingOptions(logit_bias={"7": 1})), "chat.sampling.logit_bias"),
        (asking(reasoning_effort="xhigh"), "chat.reasoning_effort"),
        (asking(service_tier="scale"), "chat.service_tier"),
        (asking(extra_json=b'{"verbosity": "low"}'), "chat.verbosity"),
        (
            asking(
                dialect="gemini",
                extra_json=b'{"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": true}}}',
            ),
            "chat.toolConfig.functionCallingConfig.streamFunctionCallArguments",
        ),
    ],
)
def test_what_gemini_cannot_be_told_is_refused_and_left_out_only_where_the_client_said_so(
    chat: chat_pb2.ChatRequest, field: str
) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, "gemini-3-pro", False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE
    assert [violation.field for violation in caught.value.violations] == [field]
    unsaid = Unsaid(allowed=True)
    encode_request(chat, "gemini-3-pro", False, unsaid)
    assert unsaid.dropped == [field]


def test_of_a_turn_of_which_nothing_can_be_said_nothing_is_sent() -> None:
    chat = asking(user(), calling(chat_pb2.ToolCall(type="custom", id="c")), user(part(text="")))
    body = json.loads(encode_request(chat, "m", False, Unsaid(allowed=True)).body)
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize("extra", [b'{"store": false}', b'{"audio": null, "annotations": []}'])
def test_fields_of_another_dialect_that_say_nothing_pass_quietly(extra: bytes) -> None:
    unsaid = Unsaid()
    chat = asking(user(extra_json=extra), extra_json=extra)
    assert json.loads(encode_request(chat, "m", False, unsaid).body) == body_of(asking())
    assert unsaid.dropped == []


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-3-pro", "low", {"thinkingLevel": "LOW"}),
        ("gemini-3-flash", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-2.5-flash", "high", {"thinkingBudget": 24576}),
        ("models/gemini-2.5-pro", "medium", {"thinkingBudget": 8192}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
    ],
)
def test_how_hard_to_think_is_a_level_or_a_budget_as_the_model_knows_it(
    model: str, effort: str, thinking: dict[str, Any]
) -> None:
    assert body_of(asking(reasoning_effort=effort), model)["generationConfig"] == {"thinkingConfig": thinking}


@pytest.mark.parametrize("none", [{"reasoning_budget_tokens": 0}, {"reasoning_effort": "none"}])
def test_a_model_that_cannot_think_is_not_told_not_to(none: dict[str, Any]) -> None:
    assert "generationConfig" not in body_of(asking(**none), "gemini-2.0-flash")


def test_a_budget_says_more_than_an_effort_beside_it() -> None:
    unsaid = Unsaid()
    chat = asking(reasoning_effort="high", reasoning_budget_tokens=0, reasoning_summary="none")
    body = json.loads(encode_request(chat, "gemini-3-pro", False, unsaid).body)
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0, "includeThoughts": False}
    assert unsaid.dropped == ["chat.reasoning_effort"]


@pytest.mark.parametrize(
    ("model", "stands_in"), [("gemini-3-pro", True), ("gemini-2.5-pro", False), ("gemma-3", False)]
)
def test_calls_that_another_model_made_are_signed_in_its_stead_where_gemini_asks_for_that(
    model: str, stands_in: bool
) -> None:
    (_, turn, _) = body_of(asking(user(), calling(CALL, CALL), answering("c")), model)["contents"]
    assert ["thoughtSignature" in part for part in turn["parts"]] == [stands_in, False]


def test_a_signature_that_gemini_gave_is_never_replaced() -> None:
    signed = chat_pb2.ToolCall(id="c", name="look", arguments="{}", signature="c2ln")
    (_, turn, _) = body_of(asking(user(), calling(signed, CALL), answering("c")))["contents"]
    assert [part.get("thoughtSignature") for part in turn["parts"]] == ["c2ln", None]


def test_arguments_travel_in_the_words_of_the_model() -> None:
    call = chat_pb2.ToolCall(id="c", name="look", arguments='{"n": 12345678901234567890123, "f": 1.0}')
    assert call.arguments.encode() in encode_request(asking(calling(call)), "m", False, Unsaid()).body


def test_the_name_of_a_tool_is_found_again_by_the_id_of_its_latest_call() -> None:
    first = chat_pb2.ToolCall(id="c", name="first", arguments="{}")
    second = chat_pb2.ToolCall(id="c", name="second", arguments="{}")
    chat = asking(user(), calling(first), answering("c"), calling(second), answering("c"))
    answers = [part for turn in body_of(chat)["contents"] for part in turn["parts"] if "functionResponse" in part]
    assert [answer["functionResponse"]["name"] for answer in answers] == ["first", "second"]


def test_an_answer_under_openai_s_older_name_for_tools_names_its_tool_itself() -> None:
    older = chat_pb2.Message(role=chat_pb2.ROLE_FUNCTION, name="look", content=[part(text="fog")])
    (turn,) = body_of(asking(older))["contents"]
    assert turn["parts"] == [{"functionResponse": {"name": "look", "response": {"output": "fog"}}}]


def test_fields_of_gemini_s_own_are_laid_over_what_they_belong_to() -> None:
    chat = asking(
        user(extra_json=b'{"novel": 1}'),
        calling(chat_pb2.ToolCall(id="c", name="look", extra_json=b'{"functionCall": {"novel": 2}}')),
        answering("c", extra_json=b'{"scheduling": "SILENT"}'),
        dialect="gemini",
        tools=[chat_pb2.ToolDefinition(name="f", extra_json=b'{"behavior": "NON_BLOCKING"}')],
        tool_choice=chat_pb2.ToolChoice(extra_json=b'{"functionCallingConfig": {"mode": "VALIDATED"}}'),
        sampling={"temperature": 1},
        extra_json=b'{"generationConfig": {"mediaResolution": "LOW"}, "toolConfig": {"retrievalConfig": {}}}',
    )
    body = body_of(chat)
    asked, called, answered = body["contents"]
    assert asked["novel"] == 1
    assert called["parts"][0]["functionCall"]["novel"] == 2
    assert answered["parts"][0]["functionResponse"]["scheduling"] == "SILENT"
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}, "retrievalConfig": {}}
    assert body["generationConfig"] == {"temperature": 1.0, "mediaResolution": "LOW"}


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = asking(
        user(), calling(CALL), answering("c"), dialect="gemini", extra_json=b'{"tools": [{"googleSearch": {}}]}'
    )
    before = chat.SerializeToString(deterministic=True)
    encode_request(chat, "m", True, Unsaid())
    assert chat.SerializeToString(deterministic=True) == before
