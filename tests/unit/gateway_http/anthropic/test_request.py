from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http import anthropic
from gateway_http.anthropic.request import decode_count
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest

USER = {"role": "user", "content": "Hi"}


def question(**fields: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 64, "messages": [USER], **fields}


def chat(**fields: Any) -> pb.ChatRequest:
    return anthropic.decode(question(**fields), max_messages=3).request.chat


def extra(**fields: Any) -> Any:
    return json.loads(chat(**fields).extra_json or b"{}")


def refused(field: str, **fields: Any) -> str:
    """What is wrong, once it has been checked that the error names the field."""
    with pytest.raises(TollwayError) as raised:
        anthropic.decode(question(**fields), max_messages=3)
    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.violations[0].field == field
    return raised.value.violations[0].description


def test_a_question_becomes_a_chat_request_in_anthropics_dialect() -> None:
    request = anthropic.decode(question(), max_messages=3).request

    assert isinstance(request, CreateChatCompletionRequest)
    assert (request.chat.model, request.chat.dialect) == ("claude", "anthropic")
    assert request.chat.messages == [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])]
    assert request.chat.sampling.max_output_tokens == 64
    assert request.chat.extra_json == b""


@pytest.mark.parametrize(("stream", "kind"), [(True, StreamChatCompletionRequest), (False, CreateChatCompletionRequest),
                                              (None, CreateChatCompletionRequest)])  # fmt: skip
def test_stream_says_how_the_answer_comes(stream: bool | None, kind: type) -> None:
    request = anthropic.decode(question(stream=stream), max_messages=3).request

    assert type(request) is kind
    assert not request.chat.extra_json


def test_the_instructions_come_first_wherever_they_stand() -> None:
    blocks = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]

    first, second = chat(system=blocks).messages

    assert (first.role, [part.text for part in first.content]) == (pb.ROLE_SYSTEM, ["Be brief.", "Be kind."])
    assert second.role == pb.ROLE_USER
    assert [part.text for part in chat(system="Be brief.").messages[0].content] == ["Be brief."]


def test_sampling_has_its_places() -> None:
    sampling = chat(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["a", "b"]).sampling

    assert (sampling.temperature, sampling.top_p, sampling.top_k, list(sampling.stop)) == (0.5, 0.9, 40, ["a", "b"])


def test_the_user_has_a_place_and_other_labels_are_kept() -> None:
    asked = chat(metadata={"user_id": "ann", "new": 1})

    assert asked.user == "ann"
    assert json.loads(asked.extra_json) == {"metadata": {"new": 1}}


@pytest.mark.parametrize(("word", "tier"), [("auto", "auto"), ("standard_only", "default"), ("new", "new")])
def test_the_standard_tier_is_called_as_others_call_it(word: str, tier: str) -> None:
    assert chat(service_tier=word).service_tier == tier


def test_the_requests_own_cache_control_is_that_of_the_last_block() -> None:
    asked = chat(cache_control={"type": "ephemeral", "ttl": "1h"})

    assert asked.messages[-1].content[-1].cache_control == pb.CacheControl(lifetime="1h")
    assert not asked.extra_json


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
        [{"type": "search_result", "source": "s", "title": "t", "content": []}],
        [{"type": "tool_result", "tool_use_id": "t"}],
    ],
)
def test_the_requests_own_cache_control_stays_where_the_last_block_has_no_place_for_it(content: Any) -> None:
    own = {"type": "ephemeral"}

    assert extra(cache_control=own, messages=[{"role": "user", "content": content}]) == {"cache_control": own}


def test_fields_that_are_new_are_kept_and_null_is_none() -> None:
    fields: dict[str, Any] = {
        "container": "c",
        "mcp_servers": [{"url": "u"}],
        "context_management": {"edits": []},
        "inference_geo": None,
    }

    assert extra(**fields, system=None, temperature=None, tools=None) == fields


def test_other_models_are_asked_after_the_first() -> None:
    request = anthropic.decode({**question(), "models": ["a", "b"]}, max_messages=3).request
    unnamed = anthropic.decode({**question(model=None), "models": ["a", "b"]}, max_messages=3).request

    assert (request.chat.model, list(request.preferences.models)) == ("claude", ["a", "b"])
    assert (unnamed.chat.model, list(unnamed.preferences.models)) == ("a", ["b"])


@pytest.mark.parametrize(
    ("field", "fields", "problem"),
    [
        ("max_tokens", {"max_tokens": None}, "must be given: the most tokens that the answer may have"),
        ("max_tokens", {"max_tokens": "many"}, "must be a whole number, not a string"),
        ("max_tokens", {"max_tokens": 1.5}, "must be a whole number"),
        ("model", {"model": None}, "must be given: the name of the model to ask"),
        ("model", {"model": 5}, "must be a string, not a number"),
        ("model", {"model": "a\r\nx: y"}, "must be a name of 1 to 256 printable characters"),
        ("models", {"models": ["a"] * 17}, "holds 17 names; at most 16 are accepted"),
        ("models[0]", {"models": [1]}, "must be a string, not a number"),
        ("messages", {"messages": None}, "must be given: the conversation so far"),
        ("messages", {"messages": []}, "must hold at least one message"),
        ("messages", {"messages": [USER] * 4}, "holds 4 messages; at most 3 are accepted"),
        ("messages", {"messages": {}}, "must be an array, not an object"),
        ("stream", {"stream": "yes"}, "must be a boolean, not a string"),
        ("system", {"system": 5}, "must be a string or an array of blocks"),
        ("system[0].text", {"system": [{"type": "text"}]}, "must be given"),
        ("temperature", {"temperature": "hot"}, "must be a number, not a string"),
        ("top_k", {"top_k": 0.5}, "must be a whole number"),
        ("stop_sequences", {"stop_sequences": "a"}, "must be an array, not a string"),
        ("stop_sequences[1]", {"stop_sequences": ["a", 1]}, "must be a string, not a number"),
        ("metadata", {"metadata": "ann"}, "must be an object, not a string"),
        ("metadata.user_id", {"metadata": {"user_id": 7}}, "must be a string, not a number"),
        ("service_tier", {"service_tier": 1}, "must be a string, not a number"),
        ("cache_control", {"cache_control": "ephemeral"}, "must be an object, not a string"),
        ("cache_control.ttl", {"cache_control": {"type": "ephemeral", "ttl": 5}}, "must be a string, not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(field: str, fields: dict[str, Any], problem: str) -> None:
    assert refused(field, **fields) == problem


def test_tokens_are_counted_without_a_cap_on_the_answer() -> None:
    fields = question(system="Be brief.", tools=[{"name": "f", "input_schema": {"type": "object"}}])
    del fields["max_tokens"]

    request = decode_count(fields, max_messages=3)

    assert [message.role for message in request.chat.messages] == [pb.ROLE_SYSTEM, pb.ROLE_USER]
    assert (request.chat.dialect, request.chat.tools[0].name) == ("anthropic", "f")


def test_what_cannot_be_counted_is_named() -> None:
    with pytest.raises(TollwayError, match="must be given: the conversation so far"):
        decode_count({"model": "claude"}, max_messages=3)
