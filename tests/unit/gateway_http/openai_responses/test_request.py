from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway_http import openai_responses
from gateway_http.dialect import Decoded
from gateway_http.openai_responses.events import Events
from gateway_http.openai_responses.output import Output
from gateway_http.openai_responses.request import Answering
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest


def decode(said: Any = "Hi", **fields: Any) -> Decoded:
    return openai_responses.decode({"model": "gpt-4o", "input": said, **fields}, max_messages=6)


def chat(said: Any = "Hi", **fields: Any) -> pb.ChatRequest:
    return decode(said, **fields).request.chat


def messages(*items: dict[str, Any]) -> list[pb.Message]:
    return list(chat(list(items)).messages)


def part(**fields: Any) -> pb.ContentPart:
    return messages({"role": "user", "content": [fields]})[0].content[0]


def settings(**fields: Any) -> dict[str, Any]:
    answering = decode(**fields).answering
    assert isinstance(answering, Answering)
    return answering.settings


def refused(field: str, said: Any = "Hi", **fields: Any) -> str:
    """What is wrong, once it has been checked that the error names the field."""
    with pytest.raises(TollwayError) as raised:
        decode(said, **fields)
    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.violations[0].field == field
    return raised.value.violations[0].description


def test_a_text_is_what_the_user_says() -> None:
    call = decode("Hi", instructions="Be brief.")

    assert isinstance(call.request, CreateChatCompletionRequest)
    assert call.request.chat == pb.ChatRequest(
        model="gpt-4o",
        dialect="openai_responses",
        messages=[
            pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Be brief.")]),
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")]),
        ],
    )


def test_a_stream_is_another_call() -> None:
    assert isinstance(decode(stream=True).request, StreamChatCompletionRequest)
    assert isinstance(decode(stream=False).request, CreateChatCompletionRequest)
    assert decode(stream=True, stream_options={"include_obfuscation": True}).request.chat.extra_json == b""
    assert json.loads(chat(stream=True, stream_options={"x": 1}).extra_json) == {"stream_options": {"x": 1}}


def test_every_option_has_its_field() -> None:
    request = chat(
        max_output_tokens=16,
        temperature=1,
        top_p=0.5,
        top_logprobs=3,
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto"},
        metadata={"a": "b"},
        service_tier="flex",
        user="ann",
        store=True,
        background=False,
        truncation="disabled",
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        previous_response_id=None,
    )

    assert request.sampling == pb.SamplingOptions(
        max_output_tokens=16, temperature=1, top_p=0.5, logprobs=True, top_logprobs=3
    )
    assert not request.parallel_tool_calls
    assert request.HasField("parallel_tool_calls")
    assert (request.reasoning_effort, request.reasoning_summary) == ("high", "auto")
    assert request.metadata == {"a": "b"}
    assert (request.service_tier, request.user) == ("flex", "ann")
    assert request.extra_json == b""


def test_log_probabilities_are_asked_for_by_including_them() -> None:
    assert chat(include=["message.output_text.logprobs"]).sampling == pb.SamplingOptions(logprobs=True)
    assert not chat(include=["reasoning.encrypted_content"], top_logprobs=0).HasField("sampling")


def test_what_has_no_place_travels_under_its_own_name() -> None:
    extra = {
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "truncation": "auto",
        "include": ["file_search_call.results"],
        "text": {"verbosity": "low"},
        "reasoning": {"context": "auto"},
        "max_tool_calls": 3,
        "context_management": [{"type": "compaction"}],
        "new": 1,
    }

    assert json.loads(chat(**extra).extra_json) == extra
    assert chat(**dict.fromkeys(name for name in extra if name != "new")) == chat()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "text"}, pb.ResponseFormat(kind=pb.RESPONSE_FORMAT_KIND_TEXT)),
        ({"type": "json_object"}, pb.ResponseFormat(kind=pb.RESPONSE_FORMAT_KIND_JSON_OBJECT)),
        (
            {"type": "json_schema", "name": "n", "schema": {}, "strict": True, "description": "d", "x": 1},
            pb.ResponseFormat(
                kind=pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA,
                name="n",
                description="d",
                schema_json=b"{}",
                strict=True,
                extra_json=b'{"x":1}',
            ),
        ),
        ({"type": "grammar"}, pb.ResponseFormat(extra_json=b'{"type":"grammar"}')),
    ],
)
def test_the_shape_of_the_answer_is_a_text_s(given: dict[str, Any], expected: pb.ResponseFormat) -> None:
    assert chat(text={"format": given, "verbosity": None}).response_format == expected


def test_tools_are_functions_or_known_by_their_kind() -> None:
    function = {
        "type": "function",
        "name": "f",
        "description": "d",
        "parameters": {"type": "object"},
        "strict": None,
        "async": True,
        "cache_control": {"type": "ephemeral"},
    }
    custom = {"type": "custom", "name": "grep", "format": {"type": "text"}}
    search = {"type": "web_search", "search_context_size": "low"}

    assert list(chat(tools=[function, custom, search]).tools) == [
        pb.ToolDefinition(
            type="function",
            name="f",
            description="d",
            parameters_json=b'{"type":"object"}',
            cache_control=pb.CacheControl(),
            extra_json=b'{"async":true}',
        ),
        pb.ToolDefinition(type="custom", name="grep", extra_json=b'{"format":{"type":"text"}}'),
        pb.ToolDefinition(type="web_search", extra_json=b'{"search_context_size":"low"}'),
    ]


def test_which_tool_is_called_has_a_mode_or_is_carried_whole() -> None:
    assert chat(tool_choice="required").tool_choice == pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED)
    assert chat(tool_choice={"type": "function", "name": "f"}).tool_choice == pb.ToolChoice(
        mode=pb.TOOL_CHOICE_MODE_NAMED, name="f"
    )
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    assert json.loads(chat(tool_choice=allowed).tool_choice.extra_json) == allowed


def test_messages_are_told_by_their_role() -> None:
    said = messages(
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}], "status": "completed"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []},
            {"type": "refusal", "refusal": "No."},
        ]},
    )  # fmt: skip

    assert said == [
        pb.Message(role=pb.ROLE_DEVELOPER, content=[pb.ContentPart(text="Be brief.")]),
        pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")]),
        pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hello"), pb.ContentPart(refusal="No.")]),
    ]


def test_what_the_model_did_in_a_turn_is_one_message() -> None:
    said = messages(
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"role": "assistant", "content": "Let me see."},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "f",
            "arguments": "{",
            "status": "completed",
        },
        {"type": "custom_tool_call", "call_id": "call_2", "name": "grep", "input": "x"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "43"}]},
    )

    assert said == [
        pb.Message(
            role=pb.ROLE_ASSISTANT,
            content=[pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm.")), pb.ContentPart(text="Let me see.")],
            tool_calls=[
                pb.ToolCall(id="call_1", type="function", name="f", arguments="{"),
                pb.ToolCall(id="call_2", type="custom", name="grep", arguments="x"),
            ],
        ),
        pb.Message(role=pb.ROLE_TOOL, tool_call_id="call_1", content=[pb.ContentPart(text="42")]),
        pb.Message(role=pb.ROLE_TOOL, tool_call_id="call_2", content=[pb.ContentPart(text="43")]),
    ]


def test_a_call_has_its_place_among_what_came_around_it() -> None:
    def called(name: str) -> dict[str, Any]:
        return {"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"}

    foreign = {"role": "assistant", "content": "Hi", "content_parts": [{"part": 0, "anthropic": {"type": "new"}}]}

    (said,) = messages(called("first"), {"type": "reasoning", "summary": []}, called("second"), foreign, called("last"))

    places = {call.id: call.place if call.HasField("place") else None for call in said.tool_calls}
    assert (places, len(said.content)) == ({"first": 0, "second": 1, "last": None}, 3)


def test_a_message_with_a_field_of_its_own_is_not_joined_to_another() -> None:
    commentary = {"role": "assistant", "content": "Well.", "phase": "commentary"}

    said = messages(commentary, {"role": "assistant", "content": "Hi"})

    assert [message.extra_json for message in said] == [b'{"phase":"commentary"}', b""]


def test_what_was_thought_before_a_message_with_a_field_of_its_own_is_no_message_by_itself() -> None:
    searched = {"type": "web_search_call", "id": "ws_1"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}

    (said,) = messages(thought, searched, {"role": "assistant", "content": "Hi", "phase": "commentary"}, call)

    assert [part.WhichOneof("part") for part in said.content] == ["reasoning", None, "text"]
    assert (said.extra_json, len(said.tool_calls)) == (b'{"phase":"commentary"}', 1)


def test_a_message_with_a_field_of_its_own_is_not_joined_to_a_call() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}

    said = messages(call, {"role": "assistant", "content": "Hi", "phase": "commentary"})

    assert [message.extra_json for message in said] == [b"", b'{"phase":"commentary"}']


@pytest.mark.parametrize(
    ("encrypted", "expected"),
    [
        ("ZW5j", pb.ReasoningPart(redacted=b"ZW5j", issuer="openai_responses")),
        ("tollway:anthropic:ZW5j", pb.ReasoningPart(redacted=b"ZW5j", issuer="anthropic")),
        ("tollway:anthropic:signature:c2ln", pb.ReasoningPart(signature="c2ln", issuer="anthropic")),
    ],
)
def test_thinking_comes_back_with_its_proof_and_issuer(encrypted: str, expected: pb.ReasoningPart) -> None:
    (said,) = messages({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted})

    assert said.content[0].reasoning == expected


def test_a_picture_of_a_provider_of_this_dialect_comes_back_as_it_was() -> None:
    labels = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "webp"}

    (said,) = messages({**labels, "result": "AA==", "revised_prompt": None})

    assert said.content[0].image == pb.ImagePart(data=b"\0", media_type="image/webp")
    assert json.loads(said.content[0].extra_json) == labels


@pytest.mark.parametrize(
    "image",
    [
        pb.ImagePart(data=b"\0", media_type="image/png"),
        pb.ImagePart(data=b"\0", media_type="image/jpeg"),
        pb.ImagePart(url="https://a.example/b"),
        pb.ImagePart(file_id="file-1"),
    ],
)
def test_a_picture_of_another_dialect_comes_back_as_nothing_but_a_picture(image: pb.ImagePart) -> None:
    output = Output("req_1", Events())
    remark = b'{"proof":"c2ln"}'
    output.choice(0).add(pb.ContentPart(image=image, extra_json=remark), 0, "gemini")

    (said,) = messages(*output.items)

    assert said == pb.Message(
        role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(image=image, extra_json=b'{"gemini":' + remark + b"}")]
    )


def test_a_picture_that_is_not_there_is_an_item_like_any_other() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None}

    (said,) = messages(item)

    assert (said.content[0].WhichOneof("part"), json.loads(said.content[0].extra_json)) == (None, item)


def test_a_call_brings_back_the_proof_of_its_thinking() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    signed = {**call, "extra_content": {"google": {"thought_signature": "c2ln"}}, "namespace": None}

    (said,) = messages(signed)

    assert (said.tool_calls[0].signature, said.tool_calls[0].extra_json) == ("c2ln", b"")


def test_an_item_of_a_kind_that_is_not_known_is_carried_whole() -> None:
    call = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    answer = {"type": "computer_call_output", "call_id": "call_1", "output": {"type": "computer_screenshot"}}

    asked, answered = messages(call, answer)

    assert (asked.role, json.loads(asked.content[0].extra_json)) == (pb.ROLE_ASSISTANT, call)
    assert (answered.role, answered.tool_call_id) == (pb.ROLE_TOOL, "call_1")
    assert json.loads(answered.content[0].extra_json) == answer


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "low"},
            pb.ContentPart(image=pb.ImagePart(url="https://a.example/b.png", detail="low")),
        ),
        ({"type": "input_image", "file_id": "file-1"}, pb.ContentPart(image=pb.ImagePart(file_id="file-1"))),
        (
            {"type": "input_file", "file_url": "https://a.example/b.pdf"},
            pb.ContentPart(file=pb.FilePart(url="https://a.example/b.pdf")),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            pb.ContentPart(file=pb.FilePart(data=b"%PDF", filename="a.pdf", media_type="application/pdf")),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"\0").decode(), "format": "wav"}},
            pb.ContentPart(audio=pb.AudioPart(data=b"\0", format="wav")),
        ),
        (
            {"type": "input_text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            pb.ContentPart(text="Hi", cache_control=pb.CacheControl(lifetime="1h")),
        ),
        ({"type": "input_video", "x": 1}, pb.ContentPart(extra_json=b'{"type":"input_video","x":1}')),
    ],
)
def test_parts_of_every_kind_are_understood(fields: dict[str, Any], expected: pb.ContentPart) -> None:
    assert part(**fields) == expected


def test_sources_come_back_with_the_text_they_are_of() -> None:
    url = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2}

    (citation,) = part(type="output_text", text="Hi", annotations=[url]).citations

    assert citation == pb.Citation(
        type="url_citation", url="https://a.example", title="A", answer_start=0, answer_end=2
    )


def test_an_answer_repeats_what_was_asked_and_that_nothing_is_stored() -> None:
    tools = [{"type": "function", "name": "f"}]

    told = settings(instructions="Be brief.", tools=tools, temperature=0.5, store=True, reasoning={"effort": "low"})

    assert (told["instructions"], told["tools"], told["temperature"]) == ("Be brief.", tools, 0.5)
    assert told["reasoning"] == {"effort": "low", "summary": None}
    assert (told["store"], told["background"], told["previous_response_id"]) == (False, False, None)
    assert (told["tool_choice"], told["parallel_tool_calls"], told["truncation"]) == ("auto", True, "disabled")
    assert told["text"] == {"format": {"type": "text"}}


def test_other_models_may_be_named_to_be_asked_after() -> None:
    assert decode(models=["b"]).request.preferences.models == ["b"]


STORED = "needs what was stored of an earlier answer, and nothing is stored here: send all of it as input"
CALL = {"type": "function_call", "call_id": "c", "name": "f"}


@pytest.mark.parametrize(
    ("field", "said", "fields", "problem"),
    [
        ("model", "Hi", {"model": None}, "must be given: the name of the model to ask"),
        ("input", None, {}, "must be given: the conversation so far"),
        ("input", 5, {}, "must be a string or an array of items"),
        ("input", [], {}, "must hold at least one item"),
        ("input", [{}] * 7, {}, "holds 7 items; at most 6 are accepted"),
        ("input[0]", ["Hi"], {}, "must be an object, not a string"),
        ("input[0].type", [{}], {}, "must be given: the kind of this item"),
        ("input[0].type", [{"type": 5}], {}, "must be a string, not a number"),
        (
            "input[0].type",
            [{"type": "item_reference", "id": "msg_1"}],
            {},
            "cannot be an item_reference: nothing is stored here, send the item itself",
        ),
        ("input[0].role", [{"type": "message", "content": "Hi"}], {}, "must be given"),
        ("input[0].role", [{"role": "tool", "content": "Hi"}], {}, "must be one of system, developer, user, assistant"),
        ("input[0].content", [{"role": "user", "content": 5}], {}, "must be a string or an array of parts"),
        ("input[0].content[0].type", [{"role": "user", "content": [{}]}], {}, "must be given: the kind of this part"),
        (
            "input[0].content[0].image_url",
            [{"role": "user", "content": [{"type": "input_image", "detail": "low"}]}],
            {},
            "must be given",
        ),
        (
            "input[0].content[0].file_data",
            [{"role": "user", "content": [{"type": "input_file", "filename": "a"}]}],
            {},
            "must be given",
        ),
        (
            "input[0].content[0].text",
            [{"role": "user", "content": [{"type": "input_text", "text": 5}]}],
            {},
            "must be a string, not a number",
        ),
        ("input[0].call_id", [{"type": "function_call", "name": "f"}], {}, "must be given"),
        ("input[0].name", [{"type": "function_call", "call_id": "c"}], {}, "must be given"),
        ("input[0].arguments", [{**CALL, "arguments": {}}], {}, "must be a string, not an object"),
        ("input[0].call_id", [{"type": "function_call_output", "output": ""}], {}, "must be given"),
        ("input[0].output", [{"type": "function_call_output", "call_id": "c"}], {}, "must be given"),
        ("input[0].summary", [{"type": "reasoning", "summary": "Hm."}], {}, "must be an array, not a string"),
        (
            "input[0].encrypted_content",
            [{"type": "reasoning", "encrypted_content": 5}],
            {},
            "must be a string, not a number",
        ),
        ("instructions", "Hi", {"instructions": 5}, "must be a string, not a number"),
        ("previous_response_id", "Hi", {"previous_response_id": "resp_1"}, STORED),
        ("conversation", "Hi", {"conversation": {"id": "conv_1"}}, STORED),
        (
            "background",
            "Hi",
            {"background": True},
            "cannot be true: an answer is there when it is done, or in a stream",
        ),
        ("store", "Hi", {"store": "yes"}, "must be a boolean, not a string"),
        ("stream", "Hi", {"stream": 1}, "must be a boolean, not a number"),
        ("max_output_tokens", "Hi", {"max_output_tokens": 1.5}, "must be a whole number"),
        ("temperature", "Hi", {"temperature": "hot"}, "must be a number, not a string"),
        ("tools[0].name", "Hi", {"tools": [{"type": "function"}]}, "must be given"),
        ("tools[0].type", "Hi", {"tools": [{}]}, "must be given: the kind of this tool"),
        ("tool_choice", "Hi", {"tool_choice": "any"}, "must be one of auto, none, required, or an object"),
        ("tool_choice.name", "Hi", {"tool_choice": {"type": "function"}}, "must be given"),
        ("text.format.type", "Hi", {"text": {"format": {}}}, "must be given: the kind of format"),
        ("text.format.schema", "Hi", {"text": {"format": {"type": "json_schema", "name": "n"}}}, "must be given"),
        ("reasoning.effort", "Hi", {"reasoning": {"effort": 5}}, "must be a string, not a number"),
        ("include[0]", "Hi", {"include": [5]}, "must be a string, not a number"),
        ("metadata.a", "Hi", {"metadata": {"a": 5}}, "must be a string, not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_refused_by_name(
    field: str, said: Any, fields: dict[str, Any], problem: str
) -> None:
    assert refused(field, said, **fields) == problem
