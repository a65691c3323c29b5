from __future__ import annotations

from typing import Any

import pytest

from services.router.domain.validation import excess_violations, violations
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ChatRequest, Message, Role
from tollway.router.v1.router_pb2 import CacheMode, Preferences


def fields(request: ChatRequest, request_id: str = "", tags: tuple[str, ...] = (), **preferences: Any) -> list[str]:
    found = violations(request, request_id, tags, Preferences(**preferences))
    return [violation.field for violation in found]


def test_an_ordinary_question_passes() -> None:
    assert fields(chat(), "req-1", ("ci", "team:red", "a:b:c")) == []


def test_every_problem_is_told_at_once() -> None:
    request = ChatRequest(choice_count=0)
    assert fields(request, "x" * 129, ("",)) == [
        "chat.model",
        "chat.messages",
        "chat.choice_count",
        "request_id",
        "tags[0]",
    ]


@pytest.mark.parametrize("model", ["x" * 257, "gpt\0", "gpt\n4", "\ud7ff\u200b"])
def test_a_model_must_be_a_name_that_can_be_shown(model: str) -> None:
    assert fields(chat(model)) == ["chat.model"]


@pytest.mark.parametrize("role", [Role.ROLE_UNSPECIFIED, 99])
def test_a_role_that_is_not_known_is_named_by_its_place(role: int) -> None:
    request = chat()
    request.messages.append(Message(role=role))  # type: ignore[arg-type]  # what another version may send
    assert fields(request) == ["chat.messages[1].role"]


@pytest.mark.parametrize(("count", "wrong"), [(0, True), (-1, True), (129, True), (1, False), (128, False)])
def test_the_number_of_choices_is_bounded(count: int, wrong: bool) -> None:
    assert fields(chat(choice_count=count)) == (["chat.choice_count"] if wrong else [])


SYSTEM, USER, ASSISTANT, TOOL = Role.ROLE_SYSTEM, Role.ROLE_USER, Role.ROLE_ASSISTANT, Role.ROLE_TOOL


@pytest.mark.parametrize(
    ("roles", "counted"),
    [
        ([USER] * 4, 4),
        ([USER, SYSTEM, USER, ASSISTANT], 4),
        ([SYSTEM, USER, ASSISTANT, USER], 3),
        ([USER, ASSISTANT, TOOL, TOOL, TOOL, ASSISTANT], 3),
        ([USER, ASSISTANT, TOOL, USER, TOOL, USER], 2),
    ],
)
def test_messages_are_counted_as_the_dialects_of_the_edge_count_them(roles: list[Role.ValueType], counted: int) -> None:
    request = ChatRequest(model="gpt", messages=[Message(role=role) for role in roles])
    assert list(excess_violations(request, counted)) == []
    (found,) = excess_violations(request, counted - 1)
    assert found.field == "chat.messages"
    assert found.description == f"are {counted}; at most {counted - 1} are accepted"


@pytest.mark.parametrize("request_id", ["x" * 129, "a\nb", "\0"])
def test_a_request_id_must_be_short_and_printable(request_id: str) -> None:
    assert fields(chat(), request_id) == ["request_id"]


@pytest.mark.parametrize("tag", ["", ":value", "x" * 129, "a\tb"])
def test_a_tag_must_be_a_name_or_a_name_and_a_value(tag: str) -> None:
    assert fields(chat(), "", ("fine", tag)) == ["tags[1]"]


def test_tags_are_bounded_in_number() -> None:
    assert fields(chat(), "", ("tag",) * 65) == ["tags"]


def test_the_models_of_the_request_are_names_and_few() -> None:
    assert fields(chat(), models=["a", "b/c"] * 8) == []
    assert fields(chat(), models=["a"] * 17) == ["preferences.models"]
    assert fields(chat(), models=["a", "", "b\n", "x" * 257]) == [f"preferences.models[{index}]" for index in (1, 2, 3)]


@pytest.mark.parametrize("session", ["x" * 129, "a\nb"])
def test_a_session_is_short_and_printable(session: str) -> None:
    assert fields(chat(), session="s" * 128) == []
    assert fields(chat(), session=session) == ["preferences.session"]


@pytest.mark.parametrize("key", ["", "k", "x" * 255, "stainless-python-retry-1 (2)", "~"])
def test_an_idempotency_key_may_be_any_text_that_a_header_can_carry(key: str) -> None:
    assert violations(chat(), "", [], Preferences(idempotency_key=key, cache=CacheMode.CACHE_MODE_USE)) == ()


@pytest.mark.parametrize("key", ["x" * 256, "a\nb", "\0", "schlüssel"])
def test_an_idempotency_key_must_be_short_and_printable(key: str) -> None:
    (found,) = violations(chat(), "", [], Preferences(idempotency_key=key))
    assert found.field == "preferences.idempotency_key"
    assert key not in found.description


def test_a_way_to_use_the_cache_must_be_known() -> None:
    unknown = Preferences(cache=9)  # type: ignore[arg-type]  # what another version may send
    assert [each.field for each in violations(chat(), "", [], unknown)] == ["preferences.cache"]
