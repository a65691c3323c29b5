from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http.anthropic.message import read_turn
from gateway_http.field_reading import Wrong
from tollway.chat.v1 import chat_pb2 as pb

CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Ulm"}}
EPHEMERAL = {"type": "ephemeral"}


def turn(role: str, content: Any, **fields: Any) -> list[pb.Message]:
    chat = pb.ChatRequest()
    read_turn(chat, {"content": content, "role": role, **fields})
    return list(chat.messages)


def refused(role: str, content: Any) -> tuple[str, str]:
    with pytest.raises(Wrong) as raised:
        turn(role, content)
    error = raised.value.as_error()
    return error.violations[0].field, error.violations[0].description


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", **fields}


@pytest.mark.parametrize(
    ("role", "number"), [("user", pb.ROLE_USER), ("assistant", pb.ROLE_ASSISTANT), ("system", pb.ROLE_SYSTEM)]
)
def test_every_role_has_its_number(role: str, number: pb.Role.ValueType) -> None:
    assert turn(role, "Hi") == [pb.Message(role=number, content=[pb.ContentPart(text="Hi")])]


def test_results_of_tools_are_messages_of_their_own_and_the_rest_is_the_users() -> None:
    first, second, rest = turn(
        "user",
        [
            result(content="21 °C"),
            result(tool_use_id="toolu_2", content=[{"type": "text", "text": "no"}], is_error=True),
            {"type": "text", "text": "Well?"},
        ],
    )

    assert (first.role, first.tool_call_id, first.content[0].text) == (pb.ROLE_TOOL, "toolu_1", "21 °C")
    assert (second.tool_call_id, second.content[0].text, second.tool_failed) == ("toolu_2", "no", True)
    assert (rest.role, rest.content[0].text) == (pb.ROLE_USER, "Well?")


def test_what_stands_before_a_result_stays_before_it() -> None:
    roles = [message.role for message in turn("user", [{"type": "text", "text": "a"}, result(), result()])]

    assert roles == [pb.ROLE_USER, pb.ROLE_TOOL, pb.ROLE_TOOL]


def test_a_result_may_hold_a_picture_and_no_words() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}

    assert turn("user", [result(content=[picture])])[0].content[0].image.url == "https://a.example/b.png"
    assert len(turn("user", [result()])[0].content) == 0


def test_the_cache_control_of_a_result_is_that_of_its_last_words() -> None:
    (message,) = turn("user", [result(content="42", cache_control={**EPHEMERAL, "ttl": "1h"})])

    assert message.content[0].cache_control.lifetime == "1h"
    assert not message.extra_json


@pytest.mark.parametrize("content", [None, [{"type": "text", "text": "42", "cache_control": {"type": "ephemeral"}}]])
def test_the_cache_control_of_a_result_is_kept_where_its_words_have_no_place_for_it(content: Any) -> None:
    (message,) = turn("user", [result(content=content, cache_control=EPHEMERAL, new=1)])

    assert json.loads(message.extra_json) == {"cache_control": EPHEMERAL, "new": 1}


def test_a_call_is_kept_apart_from_what_is_said_and_its_input_is_text() -> None:
    (message,) = turn("assistant", [{"type": "text", "text": "Let me see."}, {**CALL, "signature": "s", "caller": {}}])

    assert message.content[0].text == "Let me see."
    (call,) = message.tool_calls
    assert (call.id, call.type, call.name, call.signature) == ("toolu_1", "function", "f", "s")
    assert json.loads(call.arguments) == {"city": "Ulm"}
    assert json.loads(call.extra_json) == {"caller": {}}


def test_what_another_provider_said_beside_a_call_is_not_sent_on_in_anthropics_name() -> None:
    (message,) = turn("assistant", [{**CALL, "openai": {"x": 1}}])

    assert message.tool_calls[0].extra_json == b""


def test_a_block_that_only_another_provider_knows_is_not_sent_on() -> None:
    video = {"type": "openai", "openai": {"type": "video"}}

    assert [part.text for part in turn("assistant", [video, {"type": "text", "text": "a"}])[0].content] == ["a"]


def test_a_turn_may_say_nothing() -> None:
    assert turn("assistant", []) == [pb.Message(role=pb.ROLE_ASSISTANT)]


def test_what_is_new_in_a_turn_is_kept_with_it() -> None:
    assert json.loads(turn("user", "Hi", weight=1)[0].extra_json) == {"weight": 1}


@pytest.mark.parametrize(
    ("role", "content", "field", "problem"),
    [
        ("robot", "Hi", "role", "must be one of user, assistant, system"),
        ("user", None, "content", "must be given"),
        ("user", 5, "content", "must be a string or an array of blocks"),
        ("user", ["Hi"], "content[0]", "must be an object, not a string"),
        ("user", [{"text": "Hi"}], "content[0].type", "must be given: the kind of this block"),
        ("user", [{"type": "tool_result"}], "content[0].tool_use_id",
         "must be given: the id of the call that this answers"),
        ("user", [result(tool_use_id=5)], "content[0].tool_use_id", "must be a string, not a number"),
        ("user", [result(content=5)], "content[0].content", "must be a string or an array of blocks"),
        ("user", [result(content=[{"type": "text"}])], "content[0].content[0].text", "must be given"),
        ("user", [result(is_error="no")], "content[0].is_error", "must be a boolean, not a string"),
        ("user", [result(content="a", cache_control=[])], "content[0].cache_control",
         "must be an object, not an array"),
        ("user", [CALL], "content[0]", "is a call, which is only allowed in a message of the assistant's"),
        ("assistant", [result()], "content[0]", "is a tool's result, which is only allowed in a message of the user's"),
        ("assistant", [{**CALL, "id": None}], "content[0].id", "must be given"),
        ("assistant", [{**CALL, "name": None}], "content[0].name", "must be given"),
        ("assistant", [{**CALL, "input": "{}"}], "content[0].input", "must be an object, not a string"),
        ("assistant", [{"type": "tool_use", "id": "t", "name": "f"}], "content[0].input", "must be given"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(role: str, content: Any, field: str, problem: str) -> None:
    assert refused(role, content) == (field, problem)
