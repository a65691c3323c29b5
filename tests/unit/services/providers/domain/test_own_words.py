from __future__ import annotations

import pytest

from mesh.errors import TollwayError
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid


def test_words_of_the_provider_s_own_dialect_are_laid_over_object_into_object() -> None:
    said = {"a": {"b": 1, "c": 2}, "d": 3}
    words = OwnWords("cohere", "cohere", Unsaid())
    assert words.lay_over(said, b'{"a": {"c": 4}, "d": {"e": 5}}', "chat") == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}


def test_words_of_another_dialect_are_refused_field_by_field() -> None:
    with pytest.raises(TollwayError, match=r"chat\.a is a field of openai's API that cohere's has no place for"):
        OwnWords("", "cohere", Unsaid()).lay_over({}, b'{"a": 1}', "chat")
    unsaid = Unsaid(allowed=True)
    said = OwnWords("anthropic", "cohere", unsaid).lay_over({"x": 1}, b'{"a": 1, "b": {"c": 2}}', "chat.tools[0]")
    assert said == {"x": 1}
    assert unsaid.dropped == ["chat.tools[0].a", "chat.tools[0].b"]


def test_words_for_the_provider_may_stand_in_another_dialect_under_its_name() -> None:
    unsaid = Unsaid()
    said = OwnWords("", "cohere", unsaid).lay_over({}, b'{"cohere": {"safety_mode": "OFF"}}', "chat")
    assert said == {"safety_mode": "OFF"}
    assert unsaid.dropped == []
    assert OwnWords("", "cohere", unsaid).lay_over({}, b'{"bedrock": {"x": 1}}', "chat") == {}
    assert unsaid.dropped == ["chat.bedrock"]


@pytest.mark.parametrize("value", ["0", "false"])
def test_zero_and_false_are_values_like_any_other(value: str) -> None:
    with pytest.raises(TollwayError, match=r"chat\.x"):
        OwnWords("", "cohere", Unsaid()).lay_over({}, f'{{"x": {value}}}'.encode(), "chat")
