from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.domain.foreign import turn_away
from services.providers.domain.unsaid import Unsaid


def left_out(**fields: Any) -> list[str]:
    unsaid = Unsaid()
    turn_away(fields, "chat", "has no place here", unsaid)
    return unsaid.dropped


@pytest.mark.parametrize("value", [None, "", []])
def test_what_says_nothing_passes(value: Any) -> None:
    assert left_out(anything=value) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", False),
        ("stream", True),
        ("stream_options", {"x": 1}),
        ("caller", {"type": "direct"}),
        ("citations", {"enabled": False}),
    ],
)
def test_what_is_done_anyway_or_seen_to_elsewhere_passes(name: str, value: Any) -> None:
    assert left_out(**{name: value}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anthropic_beta", ["context-1m-2025-08-07"]),
        ("cache_control", {"type": "ephemeral"}),
        ("prediction", {"type": "content", "content": "x"}),
        ("safety_identifier", "someone"),
        ("store", True),
        ("thinking", {"type": "adaptive"}),
    ],
)
def test_hints_are_left_out_and_listed_though_nobody_allowed_it(name: str, value: Any) -> None:
    assert left_out(**{name: value}) == [f"chat.{name}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("caller", {"type": "code_execution_20260120"}),
        ("citations", {"enabled": True}),
        ("web_search_options", {}),
        ("verbosity", "low"),
        ("x", 0),
        ("x", False),
        ("thinking", {"type": "other"}),
    ],
)
def test_what_the_answer_may_depend_on_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TollwayError, match=rf"chat\.{name} has no place here") as caught:
        left_out(**{name: value})
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


def test_what_stands_under_a_dialects_name_is_for_that_dialect_alone() -> None:
    assert left_out(openai_responses={"phase": "commentary", "new": 1}, anthropic={}) == [
        "chat.openai_responses",
        "chat.anthropic",
    ]
    with pytest.raises(TollwayError, match=r"chat\.anthropic has no place here"):
        left_out(anthropic=True)


def test_fields_are_left_out_one_by_one_where_the_client_allows_it() -> None:
    unsaid = Unsaid(allowed=True)
    turn_away({"verbosity": "low", "id": "m_1", "new": {"a": 1}}, "chat.messages[0]", "has no place here", unsaid)
    assert unsaid.dropped == ["chat.messages[0].verbosity", "chat.messages[0].id", "chat.messages[0].new"]
