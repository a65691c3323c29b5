from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway_http import openai_chat
from gateway_http.dialect import Decoded
from gateway_http.openai_chat.request import Answering
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest


def decode(messages: Any = None, **fields: Any) -> Decoded:
    question = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}] if messages is None else messages}
    return openai_chat.decode({**question, **fields}, max_messages=3)


def chat(messages: Any = None, **fields: Any) -> pb.ChatRequest:
    return decode(messages, **fields).request.chat


def message(**fields: Any) -> pb.Message:
    return chat([{"role": "user", **fields}]).messages[0]


def part(**fields: Any) -> pb.ContentPart:
    return message(content=[fields]).content[0]


def shows_usage(**fields: Any) -> bool:
    answering = decode(**fields).answering
    assert isinstance(answering, Answering)
    return answering.include_usage


def refused(field: str, messages: Any = None, **fields: Any) -> str:
    """What is wrong, once it has been checked that the error names the field."""
    with pytest.raises(TollwayError) as raised:
        decode(messages, **fields)
    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.violations[0].field == field
    assert raised.value.message == f"{field}: {raised.value.violations[0].description}"
    return raised.value.violations[0].description


def test_a_question_becomes_a_chat_request() -> None:
    call = decode([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Ann"}])

    assert isinstance(call.request, CreateChatCompletionRequest)
    assert call.request.chat == pb.ChatRequest(
        model="gpt-4o",
        messages=[
            pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Be brief.")]),
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")], name="Ann"),
        ],
    )


def test_every_sampling_option_has_its_field() -> None:
    sampling = chat(
        temperature=1,
        top_p=0.9,
        top_k=-1,
        seed=-(2**63),
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        stop=["\n", "END"],
        max_completion_tokens=10,
        max_tokens=-1,
        logprobs=True,
        top_logprobs=5,
        logit_bias={"50256": -100, "1": 0.5},
    ).sampling

    assert sampling == pb.SamplingOptions(
        temperature=1.0,
        top_p=0.9,
        top_k=-1,
        seed=-(2**63),
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        stop=["\n", "END"],
        max_output_tokens=10,
        max_tokens=-1,
        logprobs=True,
        top_logprobs=5,
        logit_bias={"50256": -100.0, "1": 0.5},
    )


def test_every_other_option_has_its_field() -> None:
    request = chat(
        parallel_tool_calls=False,
        n=2,
        reasoning_effort="high",
        modalities=["text", "audio"],
        service_tier="flex",
        metadata={"a": "b"},
        user="ann",
    )

    assert request.HasField("parallel_tool_calls")
    assert not request.parallel_tool_calls
    assert request.choice_count == 2
    assert request.reasoning_effort == "high"
    assert request.modalities == ["text", "audio"]
    assert request.service_tier == "flex"
    assert request.metadata == {"a": "b"}
    assert request.user == "ann"
    assert request.extra_json == b""


def test_a_single_stop_sequence_may_be_a_string() -> None:
    assert chat(stop="END").sampling.stop == ["END"]


def test_null_stands_for_absent() -> None:
    request = chat(temperature=None, tools=None, n=None, response_format=None, metadata=None, stop=None)

    assert request == chat()


def test_what_is_not_known_is_carried_as_it_came() -> None:
    extra = {
        "store": True,
        "functions": [{"name": "f"}],
        "prediction": {"type": "content", "content": "x"},
        "min_p": 0.05,
        "nothing": None,
        "large": 2**70,
    }

    assert json.loads(chat(**extra).extra_json) == extra


@pytest.mark.parametrize(
    ("stream", "kind"), [(True, StreamChatCompletionRequest), (False, CreateChatCompletionRequest)]
)
def test_stream_decides_which_call_is_made(stream: bool, kind: type) -> None:
    call = decode(stream=stream)

    assert isinstance(call.request, kind)
    assert call.request.chat.extra_json == b""


def test_usage_is_asked_for_by_a_stream_option() -> None:
    assert shows_usage(stream=True, stream_options={"include_usage": True})
    assert not shows_usage(stream=True, stream_options={"include_usage": False})
    assert not shows_usage(stream=True, stream_options=None)
    assert not shows_usage(stream=True)


def test_other_stream_options_are_carried() -> None:
    call = decode(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})

    assert json.loads(call.request.chat.extra_json) == {"stream_options": {"include_obfuscation": False}}


def test_stream_options_need_a_stream() -> None:
    assert refused("stream_options", stream_options={"include_usage": True}) == "is only allowed where stream is true"


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_every_role_has_its_number(role: str) -> None:
    assert pb.Role.Name(chat([{"role": role}]).messages[0].role) == f"ROLE_{role.upper()}"


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_a_message_may_say_nothing(content: dict[str, Any]) -> None:
    assert len(message(**content).content) == 0


def test_an_empty_text_is_still_a_text() -> None:
    assert message(content="").content[0].WhichOneof("part") == "text"


def test_a_text_part_keeps_what_stands_beside_the_text() -> None:
    text = part(type="text", text="Hi", prompt_cache_breakpoint={"mode": "explicit"})

    assert text.text == "Hi"
    assert json.loads(text.extra_json) == {"prompt_cache_breakpoint": {"mode": "explicit"}}


@pytest.mark.parametrize(
    ("given", "kept", "left"),
    [
        ({"type": "ephemeral"}, pb.CacheControl(), None),
        ({"type": "ephemeral", "ttl": "1h"}, pb.CacheControl(lifetime="1h"), None),
        ({"type": "ephemeral", "new": 1}, pb.CacheControl(), {"cache_control": {"new": 1}}),
        ({"type": "other"}, None, {"cache_control": {"type": "other"}}),
    ],
)
def test_parts_and_tools_may_end_what_is_worth_keeping(
    given: dict[str, Any], kept: pb.CacheControl | None, left: dict[str, Any] | None
) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    marked: list[pb.ContentPart | pb.ToolDefinition] = [
        part(type="text", text="Hi", cache_control=given),
        part(**image, cache_control=given),
        chat(tools=[{"type": "function", "function": {"name": "f"}, "cache_control": given}]).tools[0],
    ]

    for target in marked:
        assert (target.cache_control if target.HasField("cache_control") else None) == kept
        assert (json.loads(target.extra_json) if target.extra_json else None) == left


def test_a_picture_keeps_its_url_as_given() -> None:
    picture = part(type="image_url", image_url={"url": "data:image/png;base64,AAAA", "detail": "low", "new": 1}, x=2)

    assert (picture.image.url, picture.image.detail) == ("data:image/png;base64,AAAA", "low")
    assert json.loads(picture.extra_json) == {"image_url": {"new": 1}, "x": 2}


def test_sound_is_unpacked() -> None:
    sound = part(type="input_audio", input_audio={"data": base64.b64encode(b"\0\1").decode(), "format": "wav"})

    assert (sound.audio.data, sound.audio.format) == (b"\0\1", "wav")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ({"file_id": "file-1"}, pb.FilePart(file_id="file-1")),
        ({"file_data": "JVBERg==", "filename": "a.pdf"}, pb.FilePart(data=b"%PDF", filename="a.pdf")),
        (
            {"file_data": "data:application/pdf;base64,JVBERg=="},
            pb.FilePart(data=b"%PDF", media_type="application/pdf"),
        ),
        ({"file_data": "https://example.com/a.pdf"}, pb.FilePart(url="https://example.com/a.pdf")),
    ],
)
def test_a_file_is_a_handle_or_bytes_or_an_address(file: dict[str, str], expected: pb.FilePart) -> None:
    assert part(type="file", file=file).file == expected


def test_a_refusal_is_a_part_of_its_own() -> None:
    assert part(type="refusal", refusal="No.").refusal == "No."
    assert message(content=None, refusal="No.").content[0].refusal == "No."


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_shown_reasoning_is_a_part_of_its_own_before_what_was_said(name: str) -> None:
    thought, said = message(content="Hi", **{name: "Hm."}).content

    assert (thought.reasoning, said.text) == (pb.ReasoningPart(text="Hm."), "Hi")


def test_thinking_said_under_both_names_is_one() -> None:
    same = message(content="Hi", reasoning_content="Hm.", reasoning="Hm.")
    other = message(content="Hi", reasoning_content="Hm.", reasoning="Well.")

    assert (len(same.content), same.extra_json) == (2, b"")
    assert json.loads(other.extra_json) == {"reasoning": "Well."}


def test_thinking_comes_back_with_its_proofs_and_their_issuers() -> None:
    details = [
        {"type": "reasoning.text", "index": 0, "text": "Hm. ", "signature": "tollway:anthropic:c2ln"},
        {"type": "reasoning.text", "index": 1, "text": "Well.", "signature": "c2ln", "format": "x"},
        {"type": "reasoning.encrypted", "index": 2, "data": "tollway:anthropic:ZW5j"},
        {"type": "reasoning.encrypted", "index": 3, "data": "ZW5j", "id": None},
    ]

    asked = message(content="Hi", reasoning_content="Hm. Well.", reasoning_details=details)

    assert asked.extra_json == b""
    assert list(asked.content) == [
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm. ", signature="c2ln", issuer="anthropic")),
        pb.ContentPart(
            reasoning=pb.ReasoningPart(text="Well.", signature="c2ln", issuer="openai"), extra_json=b'{"format":"x"}'
        ),
        pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"ZW5j", issuer="anthropic")),
        pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"ZW5j", issuer="openai")),
        pb.ContentPart(text="Hi"),
    ]


def test_a_text_of_thinking_counts_where_the_details_hold_none() -> None:
    details = [{"type": "reasoning.encrypted", "data": "ZW5j"}]

    thought, proof = message(reasoning_content="Hm.", reasoning_details=details).content

    assert thought.reasoning.text == "Hm."
    assert proof.reasoning.redacted == b"ZW5j"


def test_details_of_a_kind_that_is_not_known_are_carried_whole() -> None:
    details = [{"type": "reasoning.text", "text": "Hm."}, {"type": "reasoning.video", "video": "H"}]

    asked = message(reasoning_content="Hm.", reasoning_details=details)

    assert json.loads(asked.extra_json) == {"reasoning_details": details}
    assert [part.reasoning.text for part in asked.content] == ["Hm."]


def test_openrouter_s_way_to_ask_for_thinking_is_understood() -> None:
    request = chat(reasoning={"effort": "high", "max_tokens": 2000, "summary": "auto", "exclude": True})

    assert (request.reasoning_effort, request.reasoning_budget_tokens, request.reasoning_summary) == (
        "high",
        2000,
        "auto",
    )
    assert json.loads(request.extra_json) == {"reasoning": {"exclude": True}}
    assert chat(reasoning={"max_tokens": 0}).HasField("reasoning_budget_tokens")


def test_the_proof_of_a_call_s_thinking_is_google_s() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln", "new": 1}},
        "anthropic": {"shown": 1},
    }

    (asked,) = chat([{"role": "assistant", "tool_calls": [call]}]).messages[0].tool_calls

    assert asked.signature == "c2ln"
    assert json.loads(asked.extra_json) == {"extra_content": {"google": {"new": 1}}, "anthropic": {"shown": 1}}


def test_an_answer_can_be_sent_back_as_an_sdk_writes_it_down() -> None:
    nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "tool_calls", "reasoning_content"))

    assert chat([{"role": "assistant", "content": "Hi", **nothing}]).messages[0] == pb.Message(
        role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hi")]
    )
    unset = dict.fromkeys(("store", "prediction", "audio", "web_search_options", "prompt_cache_key", "verbosity"))
    assert chat(**unset) == chat()


def test_sources_of_an_earlier_answer_belong_to_its_text() -> None:
    url = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2, "content": "words"}
    document = {"type": "page_location", "title": "B", "document_index": 0, "source_start": 1, "source_end": 2}

    (text,) = message(
        annotations=[
            {"type": "url_citation", "url_citation": url, "new": 1},
            {"type": "file_citation", "file_id": "f"},
        ],
        citations=[document],
        content="Hi",
    ).content

    assert list(text.citations) == [
        pb.Citation(
            type="url_citation", url="https://a.example", title="A", cited_text="words", answer_start=0, answer_end=2,
            extra_json=b'{"new":1}',
        ),
        pb.Citation(type="file_citation", extra_json=b'{"file_id":"f"}'),
        pb.Citation(type="page_location", title="B", document_index=0, source_start=1, source_end=2),
    ]  # fmt: skip


def test_sources_without_a_text_are_carried() -> None:
    annotations = [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]

    assert json.loads(message(annotations=annotations).extra_json) == {"annotations": annotations}
    assert message(annotations=[]).extra_json == b""


def test_sound_and_pictures_of_an_earlier_answer_are_parts() -> None:
    image = {"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AA=="}}

    heard = message(audio={"id": "", "data": "AAE=", "expires_at": 0, "transcript": "Hi"}).content[0].audio
    sound, picture = message(audio={"id": "audio_1", "expires_at": 5}, images=[image]).content

    assert sound.audio.id == "audio_1"
    assert heard == pb.AudioPart(data=b"\0\1", transcript="Hi")
    assert picture.image.url == "data:image/png;base64,AA=="
    assert json.loads(message(audio={"id": "audio_1", "expires_at": 5}).extra_json) == {"audio": {"expires_at": 5}}


def test_what_an_answer_said_in_another_dialect_goes_back_to_where_it_was() -> None:
    parts = [
        {"part": 0, "anthropic": {"type": "server_tool_use"}},
        {"part": 1, "of": "text", "anthropic": {"x": 1}},
        {"part": 1, "of": "image", "anthropic": {"x": 1}},
        {"type": "thinking"},
    ]

    asked = message(content="Hi", anthropic={"container": 1}, content_parts=parts)

    assert list(asked.content) == [
        pb.ContentPart(extra_json=b'{"anthropic":{"type":"server_tool_use"}}'),
        pb.ContentPart(text="Hi", extra_json=b'{"anthropic":{"x":1}}'),
    ]
    assert json.loads(asked.extra_json) == {"anthropic": {"container": 1}, "content_parts": parts[2:]}


def test_a_tool_may_answer_in_parts() -> None:
    (answer,) = chat(
        [
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}],
            }
        ]
    ).messages

    assert [part.text for part in answer.content] == ["4", "2"]


def test_a_kind_of_part_that_is_not_known_is_carried_whole() -> None:
    unknown = {"type": "video_url", "video_url": {"url": "https://example.com/v"}}

    carried = part(**unknown)

    assert carried.WhichOneof("part") is None
    assert json.loads(carried.extra_json) == unknown


def test_tool_calls_and_their_answers_are_tied_together() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    asked, answered = chat(
        [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        ]
    ).messages

    assert asked.tool_calls[0] == pb.ToolCall(id="call_1", type="function", name="f", arguments="{")
    assert answered.tool_call_id == "call_1"


def test_a_call_of_another_kind_is_carried() -> None:
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "grep", "input": "x"}}

    call = chat([{"role": "assistant", "tool_calls": [custom]}]).messages[0].tool_calls[0]

    assert (call.id, call.type) == ("call_1", "custom")
    assert json.loads(call.extra_json) == {"custom": {"name": "grep", "input": "x"}}


def test_what_is_new_in_a_message_is_carried_where_it_stood() -> None:
    carried = message(content="Hi", function_call={"name": "f"}, video=None, weight=1)

    assert json.loads(carried.extra_json) == {"function_call": {"name": "f"}, "video": None, "weight": 1}


def test_a_tool_has_its_schema_as_json() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "f", "description": "d", "parameters": schema, "strict": True, "new": 1}

    (tool,) = chat(tools=[{"type": "function", "function": function}]).tools

    assert (tool.type, tool.name, tool.description, tool.strict) == ("function", "f", "d", True)
    assert json.loads(tool.parameters_json) == schema
    assert json.loads(tool.extra_json) == {"function": {"new": 1}}


def test_a_tool_of_another_kind_is_carried() -> None:
    (tool,) = chat(tools=[{"type": "custom", "custom": {"name": "grep"}}]).tools

    assert tool.type == "custom"
    assert json.loads(tool.extra_json) == {"custom": {"name": "grep"}}


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("auto", pb.TOOL_CHOICE_MODE_AUTO),
        ("none", pb.TOOL_CHOICE_MODE_NONE),
        ("required", pb.TOOL_CHOICE_MODE_REQUIRED),
    ],
)
def test_whether_tools_are_called_has_a_mode(value: str, mode: pb.ToolChoiceMode.ValueType) -> None:
    assert chat(tool_choice=value).tool_choice == pb.ToolChoice(mode=mode)


def test_a_named_tool_has_a_mode_and_a_name() -> None:
    choice = chat(tool_choice={"type": "function", "function": {"name": "f"}}).tool_choice

    assert choice == pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NAMED, name="f")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        {"type": "function", "function": {"name": "f", "new": 1}},
    ],
)
def test_a_choice_that_a_mode_cannot_say_is_carried_whole(value: dict[str, Any]) -> None:
    assert json.loads(chat(tool_choice=value).tool_choice.extra_json) == value


def test_a_schema_for_the_answer_has_its_fields() -> None:
    answer = chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": False, "new": 1},
        }
    ).response_format

    assert (answer.kind, answer.name, answer.description) == (pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA, "n", "d")
    assert answer.schema_json == b'{"type":"object"}'
    assert answer.HasField("strict")
    assert json.loads(answer.extra_json) == {"json_schema": {"new": 1}}


def test_simple_formats_have_a_kind() -> None:
    assert chat(response_format={"type": "text"}).response_format.kind == pb.RESPONSE_FORMAT_KIND_TEXT
    assert chat(response_format={"type": "json_object"}).response_format.kind == pb.RESPONSE_FORMAT_KIND_JSON_OBJECT


def test_another_format_is_carried_whole() -> None:
    grammar = {"type": "grammar", "grammar": "root ::= 'a'"}

    assert json.loads(chat(response_format=grammar).response_format.extra_json) == grammar


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("model", 5, "must be a string, not a number"),
        ("model", None, "must be given: the name of the model to ask"),
        ("model", "", "must be a name of 1 to 256 printable characters"),
        ("model", "a" * 257, "must be a name of 1 to 256 printable characters"),
        ("model", "a\r\nx: y", "must be a name of 1 to 256 printable characters"),
        ("messages", {}, "must be an array, not an object"),
        ("messages", [], "must hold at least one message"),
        ("messages", [{}] * 4, "holds 4 messages; at most 3 are accepted"),
        ("messages[0]", ["Hi"], "must be an object, not a string"),
        ("messages[0].role", [{"content": "Hi"}], "must be given"),
        (
            "messages[0].role",
            [{"role": "robot"}],
            "must be one of system, developer, user, assistant, tool, function",
        ),
        ("messages[0].role", [{"role": 1}], "must be a string, not a number"),
        ("messages[0].content", [{"role": "user", "content": 5}], "must be a string or an array of parts"),
        ("stream", "yes", "must be a boolean, not a string"),
        ("temperature", "hot", "must be a number, not a string"),
        ("temperature", True, "must be a number, not a boolean"),
        ("temperature", 10**400, "is too large a number"),
        ("n", 0, "must be from 1 to 128"),
        ("n", 129, "must be from 1 to 128"),
        ("n", 1.5, "must be a whole number"),
        ("n", True, "must be a whole number, not a boolean"),
        ("n", 2**31, "must fit into 32 bits"),
        ("seed", 2**63, "must fit into 64 bits"),
        ("seed", -(2**63) - 1, "must fit into 64 bits"),
        ("stop", 5, "must be an array, not a number"),
        ("logprobs", 1, "must be a boolean, not a number"),
        ("modalities", "text", "must be an array, not a string"),
        ("metadata", ["a"], "must be an object, not an array"),
        ("tool_choice", "any", "must be one of auto, none, required, or an object"),
        ("tool_choice", 5, "must be one of auto, none, required, or an object"),
        ("response_format", "json", "must be an object, not a string"),
        ("tools", {}, "must be an array, not an object"),
    ],
)
def test_a_value_that_cannot_be_accepted_is_refused_by_name(field: str, value: Any, problem: str) -> None:
    assert refused(field, **{field.partition("[")[0]: value}) == problem


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": "yes"}}),
        ("stop[1]", {"stop": ["a", 5]}),
        ("logit_bias.50256", {"logit_bias": {"50256": "low"}}),
        ("metadata.a", {"metadata": {"a": None}}),
        ("tools[1]", {"tools": [{"type": "function", "function": {"name": "f"}}, "g"]}),
        ("tools[0].function.name", {"tools": [{"type": "function"}]}),
        (
            "tools[0].function.parameters",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": ""}}]},
        ),
        ("tool_choice.function.name", {"tool_choice": {"type": "function"}}),
        ("reasoning.effort", {"reasoning": {"effort": 5}}),
        ("response_format.type", {"response_format": {}}),
        ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
        (
            "response_format.json_schema.schema",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
        ),
    ],
)
def test_a_value_inside_others_is_refused_by_path(field: str, fields: dict[str, Any]) -> None:
    refused(field, **fields)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("", "Hi"),
        (".type", {"text": "Hi"}),
        (".text", {"type": "text"}),
        (".text", {"type": "text", "text": 5}),
        (".image_url", {"type": "image_url", "image_url": "https://example.com"}),
        (".image_url.url", {"type": "image_url", "image_url": {}}),
        (".image_url", {"type": "image_url"}),
        (".input_audio.data", {"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}),
        (".input_audio.data", {"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}}),
        (".input_audio.data", {"type": "input_audio", "input_audio": {"format": "wav"}}),
        (".file", {"type": "file", "file": {"filename": "a.pdf"}}),
        (".file.file_data", {"type": "file", "file": {"file_data": "data:text/plain,hello"}}),
        (".file.file_data", {"type": "file", "file": {"file_data": "not base64"}}),
        (".file.file_id", {"type": "file", "file": {"file_data": "AAAA", "file_id": "file-1"}}),
        (".file.file_data", {"type": "file", "file": {"file_id": "file-1", "file_data": "AAAA"}}),
        (".refusal", {"type": "refusal", "refusal": 1}),
    ],
)
def test_a_value_inside_a_part_is_refused_by_path(field: str, content: Any) -> None:
    text = {"type": "text", "text": "Hi"}

    refused(f"messages[2].content[1]{field}", [{"role": "user"}] * 2 + [{"role": "user", "content": [text, content]}])


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("", "f"),
        (".function.name", {"id": "1", "type": "function"}),
        (".id", {"id": 1}),
        (".function", {"function": []}),
    ],
)
def test_a_value_inside_a_tool_call_is_refused_by_path(field: str, call: Any) -> None:
    refused(f"messages[0].tool_calls[0]{field}", [{"role": "assistant", "tool_calls": [call]}])


def test_a_path_is_not_as_long_as_a_client_likes() -> None:
    with pytest.raises(TollwayError) as raised:
        decode(metadata={"k" * 100_000: 5})

    assert len(raised.value.message) < 200


def named(**fields: Any) -> tuple[str, list[str]]:
    """The model asked, and those to ask after it."""
    call = openai_chat.decode({"messages": [{"role": "user", "content": "Hi"}], **fields}, max_messages=3)
    assert b"models" not in call.request.chat.extra_json
    return call.request.chat.model, list(call.request.preferences.models)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_may_bring_its_own_candidates_and_they_are_not_sent_upstream(stream: bool) -> None:
    assert named(model="a", models=["b", "c/d"], stream=stream) == ("a", ["b", "c/d"])
    assert named(models=["b", "c/d"], stream=stream) == ("b", ["c/d"])
    assert named(models=["b"], stream=stream) == ("b", [])


def test_no_candidates_of_its_own_are_none() -> None:
    assert named(model="a", models=None) == ("a", [])
    assert named(model="a", models=[]) == ("a", [])
    assert named(model="a", models=["b"] * 16) == ("a", ["b"] * 16)


@pytest.mark.parametrize(
    ("field", "models", "problem"),
    [
        ("models", "b", "must be an array, not a string"),
        ("models", {}, "must be an array, not an object"),
        ("models", ["b"] * 17, "holds 17 names; at most 16 are accepted"),
        ("models[1]", ["b", 5], "must be a string, not a number"),
        ("models[0]", [""], "must be a name of 1 to 256 printable characters"),
        ("models[1]", ["b", "a\nb"], "must be a name of 1 to 256 printable characters"),
        ("models[0]", ["b" * 257], "must be a name of 1 to 256 printable characters"),
        ("models[0]", [None], "must be a string, not null"),
    ],
)
def test_candidates_that_are_no_names_are_refused_by_path(field: str, models: Any, problem: str) -> None:
    assert refused(field, models=models) == problem


@pytest.mark.parametrize("models", [None, []])
def test_somebody_must_be_asked(models: Any) -> None:
    with pytest.raises(TollwayError) as raised:
        named(models=models)
    assert raised.value.message == "model: must be given: the name of the model to ask"
