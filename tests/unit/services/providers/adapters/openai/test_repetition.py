from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.openai.repetition import Repetition


def saying(text: Any, **other: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice], **other}


def found(repetition: Repetition, written: bytes) -> str | None:
    """The text that is found in an event; None for none."""
    texts = repetition.find([(b"", written)], 0)
    assert len(texts) <= 1
    return texts[0] if texts else None


def learned(event: dict[str, Any], written: bytes | None = None) -> Repetition:
    repetition = Repetition()
    repetition.learn(orjson.dumps(event) if written is None else written, event)
    return repetition


@given(st.text(), st.text())
def test_any_text_is_found_after_any_other(first: str, second: str) -> None:
    assert found(learned(saying(first)), orjson.dumps(saying(second))) in (second, None)
    assert found(learned(saying("Hello")), orjson.dumps(saying(second))) == second


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_text_is_found_however_json_is_spaced_and_escaped(separators: tuple[str, str]) -> None:
    def write(text: str) -> bytes:
        return json.dumps(saying(text), separators=separators).encode()

    assert found(learned(saying("a"), write("a")), write('“ä”\n"')) == '“ä”\n"'


def test_nothing_is_found_before_something_was_learned() -> None:
    assert found(Repetition(), orjson.dumps(saying("a"))) is None


@pytest.mark.parametrize(
    "other",
    [
        saying("b", created=6),
        saying("b", usage={"prompt_tokens": 1}),
        saying(None),
        saying(["b"]),
        saying({"content": "b"}),
        {"error": {"message": "no"}},
    ],
)
def test_an_event_that_differs_in_more_than_its_text_is_not_taken_for_one(other: dict[str, Any]) -> None:
    assert found(learned(saying("a")), orjson.dumps(other)) is None


def test_what_would_not_be_json_is_not_taken_for_text() -> None:
    whole = orjson.dumps(saying("@"))
    for broken in (b'a"', b'a","content":"b', b"\\", b"\xff", b"\\ud83d"):
        assert found(learned(saying("a")), whole.replace(b"@", broken)) is None


@pytest.mark.parametrize(
    "event",
    [
        saying("a", obfuscation="xyz"),
        saying("a", usage={"prompt_tokens": 1}),
        saying("a", provider="P"),
        saying("a", choices=[]),
        saying("a", choices=saying("a")["choices"] * 2),
        saying("a", choices=[{**saying("a")["choices"][0], "finish_reason": "stop"}]),
        saying("a", choices=[{**saying("a")["choices"][0], "content_filter_results": {}}]),
        saying("a", choices=[{"index": 0, "delta": {"content": "a", "role": "assistant"}}]),
    ],
)
def test_only_an_event_that_is_nothing_but_text_is_learned(event: dict[str, Any]) -> None:
    assert found(learned(event), orjson.dumps(event)) is None


def test_a_place_that_only_looks_like_the_text_s_is_not_learned() -> None:
    event = saying("m")
    written = orjson.dumps(event).replace(b'"model":"m",', b"")[:-1] + b',"model":"m"}'
    assert found(learned(event, written), written) is None


def test_the_index_of_the_choice_is_known() -> None:
    repetition = learned(saying("a", choices=[{"index": 2, "delta": {"content": "a"}}]))
    assert repetition.choice == 2


def test_as_many_texts_are_found_as_repeat_in_a_row() -> None:
    repetition = learned(saying("a"))
    row = [(b"", orjson.dumps(event)) for event in (saying("a"), saying("b"), saying("c"), saying("d", created=6))]
    assert repetition.find(row, 1) == ["b", "c"]
    assert repetition.find(row, 3) == []
    assert repetition.find([*row[:1], (b"error", row[1][1])], 0) == ["a"]
