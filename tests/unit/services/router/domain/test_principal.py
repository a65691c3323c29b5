from __future__ import annotations

import pytest

from services.router.domain.principal import LOCAL, Principal, Role


def test_a_role_may_do_what_the_lesser_ones_may() -> None:
    may = {(mine, needed) for mine in Role for needed in Role if mine.may_act_as(needed)}
    assert may == {
        (Role.CALLER, Role.CALLER),
        (Role.OPERATOR, Role.CALLER),
        (Role.OPERATOR, Role.OPERATOR),
        (Role.ADMIN, Role.CALLER),
        (Role.ADMIN, Role.OPERATOR),
        (Role.ADMIN, Role.ADMIN),
    }


@pytest.mark.parametrize(
    ("model", "permitted"),
    [
        ("gpt-4o", True),
        ("gpt-4o-mini", False),
        ("claude-sonnet", True),
        ("claude-", True),
        ("claude", False),
        ("", False),
    ],
)
def test_a_key_may_ask_for_its_names_and_for_what_its_patterns_stand_for(model: str, permitted: bool) -> None:
    assert Principal("t", "p", "k", models=("gpt-4o", "claude-*")).may_ask(model) is permitted


def test_everybody_on_this_machine_may_do_everything_where_there_are_no_keys() -> None:
    assert LOCAL.may_ask("anything")
    assert LOCAL.role is Role.ADMIN
