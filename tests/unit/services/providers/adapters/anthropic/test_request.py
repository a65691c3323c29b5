from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.anthropic import encode_count, encode_request
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2 as pb

OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"


def part(**fields: Any) -> pb.ContentPart:
    return pb.ContentPart(**fields)


def user(*parts: pb.ContentPart, **fields: Any) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, content=parts or [part(text="Hi")], **fields)


def assistant(*parts: pb.ContentPart, **fields: Any) -> pb.Message:
    return pb.Message(role=pb.ROLE_ASSISTANT, content=parts, **fields)


def asking(*messages: pb.Message, **fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(messages=messages or [user()], **fields)


def drawing(**fields: Any) -> pb.ChatRequest:
    return asking(sampling=pb.SamplingOptions(**fields))


def shaped(**fields: Any) -> pb.ChatRequest:
    return asking(response_format=pb.ResponseFormat(**fields))


def body_of(chat: pb.ChatRequest, model: str = NEW, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(chat, model, stream, Unsaid()).body)
    return body


DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
CALL = pb.ToolCall(id="call_1", name="f", arguments="[1]")


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (pb.ChatRequest(), "chat.messages"),
        (asking(pb.Message(role=pb.ROLE_SYSTEM, content=[part(text="Be brief.")])), "chat.messages"),
        (asking(user(part(text=""))), "chat.messages"),
        (asking(pb.Message(content=[part(text="Hi")])), "chat.messages[0].role"),
        (asking(user(part())), "chat.messages[0].content[0]"),
        (asking(user(part(image=pb.ImagePart()))), "chat.messages[0].content[0].image"),
        (asking(user(part(text="a"), part(file=pb.FilePart()))), "chat.messages[0].content[1].file"),
        (asking(user(part(file=pb.FilePart(data=b"\xff")))), "chat.messages[0].content[0].file.data"),
        (
            asking(assistant(part(reasoning=pb.ReasoningPart(redacted=b"\xff")))),
            "chat.messages[0].content[0].reasoning.redacted",
        ),
        (asking(assistant(tool_calls=[CALL])), "chat.messages[0].tool_calls[0].arguments"),
        (asking(pb.Message(role=pb.ROLE_TOOL)), "chat.messages[0].tool_call_id"),
        (asking(tools=[pb.ToolDefinition(name="f", parameters_json=b"x")]), "chat.tools[0].parameters_json"),
        (asking(extra_json=b"{"), "chat.extra_json"),
        (asking(extra_json=b"[1]"), "chat.extra_json"),
        (asking(extra_json=b'{"anthropic": 1}'), "chat.anthropic"),
        (asking(dialect="anthropic", extra_json=DEEP), "chat.extra_json"),
        (shaped(), "chat.response_format.kind"),
        (
            shaped(kind=pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=b"3"),
            "chat.response_format.schema_json",
        ),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(chat: pb.ChatRequest, field: str) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, NEW, False, Unsaid(allowed=True))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        (asking(choice_count=2), "chat.choice_count cannot be told to Anthropic's API, which gives one answer"),
        (drawing(seed=0), "chat.sampling.seed has no place in Anthropic's API"),
        (drawing(frequency_penalty=0.1), "chat.sampling.frequency_penalty has no place in Anthropic's API"),
        (drawing(presence_penalty=-1), "chat.sampling.presence_penalty has no place in Anthropic's API"),
        (drawing(logprobs=True), "chat.sampling.logprobs has no place in Anthropic's API"),
        (drawing(top_logprobs=1), "chat.sampling.top_logprobs has no place in Anthropic's API"),
        (drawing(logit_bias={"1": 1}), "chat.sampling.logit_bias has no place in Anthropic's API"),
        (drawing(stop=["END", " \n"]), "chat.sampling.stop[1] is white space alone"),
        (drawing(temperature=0.5), f"chat.sampling.temperature cannot be told to {NEW}"),
        (drawing(top_k=5), f"chat.sampling.top_k cannot be told to {NEW}"),
        (asking(modalities=["text", "audio"]), "chat.modalities cannot be told"),
        (asking(reasoning_budget_tokens=2048), f"chat.reasoning_budget_tokens cannot be told to {NEW}"),
        (shaped(kind=pb.RESPONSE_FORMAT_KIND_JSON_OBJECT), "chat.response_format asks for any JSON object"),
        (shaped(extra_json=b'{"type": "grammar"}'), "chat.response_format is of a kind"),
        (asking(user(name="ada")), "chat.messages[0].name has no place in Anthropic's API"),
        (asking(user(part(audio=pb.AudioPart(data=b"a")))), "chat.messages[0].content[0].audio has no place"),
        (asking(user(part(extra_json=b'{"type": "input_video"}'))), "chat.messages[0].content[0] is of a kind"),
        (asking(user(part(text="a", extra_json=b'{"b": 1}'))), "chat.messages[0].content[0].b has no place"),
        (
            asking(user(part(file=pb.FilePart(data=b"PK", media_type="application/zip")))),
            "chat.messages[0].content[0].file is of the type application/zip",
        ),
        (asking(pb.Message(role=pb.ROLE_FUNCTION, name="f")), "chat.messages[0] answers a call without an id"),
        (asking(tools=[pb.ToolDefinition(type="custom", name="sql")]), "chat.tools[0] is a tool of the kind custom"),
        (
            asking(assistant(tool_calls=[pb.ToolCall(id="1", type="custom")])),
            "chat.messages[0].tool_calls[0] is a call of the kind custom",
        ),
        (
            asking(tools=[pb.ToolDefinition(name="f")], tool_choice=pb.ToolChoice(extra_json=b'{"type": "x"}')),
            "chat.tool_choice is of a kind",
        ),
        (asking(extra_json=b'{"verbosity": "low"}'), "chat.verbosity has no place in Anthropic's API"),
        (asking(extra_json=b'{"web_search_options": {}}'), "chat.web_search_options has no place"),
    ],
)
def test_what_the_provider_cannot_be_told_is_refused_by_name_unless_it_may_be_left_out(
    chat: pb.ChatRequest, said: str
) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_request(chat, NEW, False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE
    assert caught.value.message.startswith(said)
    chat.messages.append(user())
    unsaid = Unsaid(allowed=True)
    encode_request(chat, NEW, False, unsaid)
    assert unsaid.dropped == [said.split()[0]]


@pytest.mark.parametrize(
    "chat",
    [
        drawing(frequency_penalty=0, presence_penalty=0, logprobs=False, top_logprobs=0),
        drawing(temperature=1, top_p=1),
        asking(choice_count=1, modalities=["text"]),
        shaped(kind=pb.RESPONSE_FORMAT_KIND_TEXT),
        asking(extra_json=b'{"store": false, "metadata": null, "annotations": [], "stream_options": {"x": true}}'),
        asking(tool_choice=pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_AUTO), parallel_tool_calls=True),
        asking(user(part(image=pb.ImagePart(url="https://example.com", detail="auto")))),
    ],
)
def test_what_is_done_anyway_need_not_be_said(chat: pb.ChatRequest) -> None:
    unsaid = Unsaid()
    body = json.loads(encode_request(chat, NEW, False, unsaid).body)
    assert body.keys() == {"model", "max_tokens", "messages"}
    assert unsaid.dropped == []


def test_a_temperature_above_the_highest_there_is_is_refused_and_not_lowered_behind_anybodys_back() -> None:
    with pytest.raises(TollwayError, match="is above 1, the highest"):
        encode_request(drawing(temperature=1.1), OLD, False, Unsaid())
    unsaid = Unsaid(allowed=True)
    assert "temperature" not in json.loads(encode_request(drawing(temperature=1.1), OLD, False, unsaid).body)
    assert unsaid.dropped == ["chat.sampling.temperature"]


def test_a_model_that_takes_one_of_temperature_and_top_p_is_not_told_both() -> None:
    chat = drawing(temperature=0.5, top_p=0.5)
    assert body_of(chat, "claude-opus-4-0")["top_p"] == 0.5
    unsaid = Unsaid(allowed=True)
    body = json.loads(encode_request(chat, OLD, False, unsaid).body)
    assert (body["temperature"], "top_p" in body) == (0.5, False)
    assert unsaid.dropped == ["chat.sampling.top_p"]


def test_thinking_is_not_asked_for_where_a_tool_must_be_called() -> None:
    chat = asking(
        reasoning_effort="high",
        tools=[pb.ToolDefinition(name="f")],
        tool_choice=pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED),
    )
    body = body_of(chat)
    assert body["output_config"] == {"effort": "high"}
    assert "thinking" not in body
    with pytest.raises(TollwayError, match="beside a tool that must be called"):
        body_of(chat, OLD)


def test_what_an_anthropic_client_says_is_the_providers_to_judge() -> None:
    chat = drawing(temperature=1.5, stop=["\n"])
    chat.dialect, chat.reasoning_budget_tokens = "anthropic", 5
    body = body_of(chat)
    assert (body["temperature"], body["stop_sequences"]) == (1.5, ["\n"])
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 5}


@pytest.mark.parametrize(
    ("effort", "model", "thinking", "told"),
    [
        ("none", NEW, {"type": "disabled"}, None),
        ("minimal", NEW, {"type": "adaptive"}, "low"),
        ("high", NEW, {"type": "adaptive"}, "high"),
        ("xhigh", "an-unknown-model", {"type": "adaptive"}, "xhigh"),
        ("none", OLD, {"type": "disabled"}, None),
        ("minimal", OLD, {"type": "enabled", "budget_tokens": 1024}, None),
        ("high", OLD, {"type": "enabled", "budget_tokens": 16384}, None),
    ],
)
def test_an_effort_is_put_as_the_model_takes_it(
    effort: str, model: str, thinking: dict[str, Any], told: str | None
) -> None:
    body = body_of(asking(reasoning_effort=effort), model)
    assert body["thinking"] == thinking
    assert body.get("output_config", {}).get("effort") == told


def test_a_budget_stays_below_the_limit_of_the_answer_and_is_not_told_where_none_fits() -> None:
    chat = asking(reasoning_effort="high", sampling=pb.SamplingOptions(max_tokens=2000))
    assert body_of(chat, OLD)["thinking"] == {"type": "enabled", "budget_tokens": 1999}
    chat.sampling.max_tokens = 1024
    with pytest.raises(TollwayError, match=r"chat\.reasoning_effort cannot be told .* with a limit of 1024 tokens"):
        body_of(chat, OLD)


def test_an_effort_in_anthropics_dialect_says_nothing_about_whether_to_think() -> None:
    body = body_of(asking(dialect="anthropic", reasoning_effort="low"))
    assert body["output_config"] == {"effort": "low"}
    assert "thinking" not in body


@pytest.mark.parametrize(
    ("chat", "model", "thinking"),
    [
        (asking(reasoning_summary="auto"), NEW, {"type": "adaptive", "display": "summarized"}),
        (asking(reasoning_summary="none", reasoning_effort="low"), NEW, {"type": "adaptive", "display": "omitted"}),
        (asking(reasoning_summary="auto", reasoning_effort="none"), NEW, {"type": "disabled"}),
        (
            asking(dialect="anthropic", reasoning_summary="summarized", extra_json=b'{"thinking":{"type":"adaptive"}}'),
            NEW,
            {"display": "summarized", "type": "adaptive"},
        ),
    ],
)
def test_thinking_is_shown_as_the_client_wants_it(chat: pb.ChatRequest, model: str, thinking: dict[str, Any]) -> None:
    assert body_of(chat, model)["thinking"] == thinking


def test_a_summary_of_thinking_that_was_not_asked_for_is_left_out() -> None:
    unsaid = Unsaid()
    assert "thinking" not in json.loads(encode_request(asking(reasoning_summary="auto"), OLD, False, unsaid).body)
    assert unsaid.dropped == ["chat.reasoning_summary"]


def test_a_limit_is_the_clients_smallest_or_else_the_models_own() -> None:
    assert body_of(drawing(max_output_tokens=7))["max_tokens"] == 7
    assert body_of(drawing(max_output_tokens=7, max_tokens=5))["max_tokens"] == 5
    assert body_of(asking())["max_tokens"] == 128_000


def test_fields_under_the_key_anthropic_reach_it_from_every_dialect() -> None:
    chat = asking(extra_json=b'{"anthropic": {"inference_geo": "eu", "output_config": {"effort": "max"}}}')
    chat.reasoning_effort = "low"
    body = body_of(chat)
    assert (body["inference_geo"], body["output_config"]) == ("eu", {"effort": "max"})


def test_a_block_under_the_key_anthropic_is_one_of_its_own() -> None:
    block = {"type": "container_upload", "file_id": "f"}
    chat = asking(user(part(extra_json=json.dumps({"anthropic": block}).encode())))
    assert body_of(chat)["messages"] == [{"role": "user", "content": [block]}]


def test_the_model_asked_is_the_providers_own_name_for_it_whatever_the_client_said() -> None:
    chat = asking(model="alias", dialect="anthropic", extra_json=b'{"model": "other"}')
    assert body_of(chat)["model"] == NEW


def test_a_call_names_the_version_and_the_betas_that_the_question_is_for() -> None:
    assert encode_request(asking(), NEW, False, Unsaid()).headers == {"anthropic-version": "2023-06-01"}
    chat = asking(dialect="anthropic", extra_json=b'{"anthropic_beta": ["a", "b"]}')
    encoded = encode_request(chat, NEW, False, Unsaid())
    assert encoded.headers["anthropic-beta"] == "a,b"
    assert "anthropic_beta" not in json.loads(encoded.body)


def test_counting_asks_about_the_prompt_alone() -> None:
    chat = asking(
        pb.Message(role=pb.ROLE_SYSTEM, content=[part(text="Be brief.")]),
        user(),
        tools=[pb.ToolDefinition(name="f")],
        tool_choice=pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED),
        sampling=pb.SamplingOptions(temperature=0.5, top_k=1, stop=["x"], max_tokens=5),
        reasoning_budget_tokens=1024,
        user="u",
        service_tier="auto",
    )
    encoded = encode_count(chat, OLD, Unsaid())
    assert encoded.path == "/messages/count_tokens"
    assert json.loads(encoded.body) == {
        "model": OLD,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }


def test_encoding_leaves_the_question_as_it_was() -> None:
    chat = asking(extra_json=b'{"anthropic": {"x": 1}}', tools=[pb.ToolDefinition(name="f")], reasoning_effort="low")
    before = chat.SerializeToString(deterministic=True)
    encode_request(chat, NEW, True, Unsaid())
    assert chat.SerializeToString(deterministic=True) == before


def test_arguments_go_out_digit_by_digit_as_they_were_written() -> None:
    written = '{"n": 1.50, "big": 123456789012345678901234567890}'
    chat = asking(user(), assistant(tool_calls=[pb.ToolCall(id="a", name="f", arguments=written)]))
    assert written.encode() in encode_request(chat, NEW, False, Unsaid()).body
