"""Characters that a server sends in halves: two escapes, each in JSON of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.openai import decode_response, stream_decoder
from tests.providers.test_fixtures import joined

FIRST, SECOND = "\ud83d", "\ude00"
UNKNOWN = "\ufffd"


def event(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def streamed(*deltas: dict[str, Any], choices: int = 1) -> dict[str, Any]:
    decoder = stream_decoder(choices, 1 << 20)
    chunks = [chunk for delta in deltas for chunk in decoder.feed(event(delta))]
    chunks += decoder.feed(event({}, "stop"))
    assert (decoder.error, decoder.complete) == (None, True)
    choice: dict[str, Any] = joined(chunks)["choices"]["0"]
    return choice


def test_halves_in_neighbouring_deltas_are_one_character() -> None:
    assert (
        streamed({"content": f"hi {FIRST}"}, {"content": f"{SECOND} there"}, {"content": "!"})["text"] == "hi 😀 there!"
    )


@pytest.mark.parametrize(
    ("texts", "heard"),
    [
        ((f"a{FIRST}", "b", "c"), f"a{UNKNOWN}bc"),
        ((f"a{SECOND}", "b"), f"a{UNKNOWN}b"),
        (("a", f"b{FIRST}"), f"ab{UNKNOWN}"),
        ((f"a{FIRST}", FIRST, f"{SECOND}b"), f"a{UNKNOWN}😀b"),
    ],
)
def test_a_half_that_stays_alone_is_told_as_unknown(texts: tuple[str, ...], heard: str) -> None:
    assert streamed(*({"content": text} for text in texts))["text"] == heard


def test_thinking_and_arguments_are_put_together_too() -> None:
    def call(text: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": text}}]}

    heard = streamed({"reasoning": FIRST}, {"reasoning": SECOND}, call(f'{{"a":"{FIRST}'), call(f'{SECOND}"}}'))

    assert heard["reasoning"] == "😀"
    assert heard["tool_calls"]["0"]["arguments"] == '{"a":"😀"}'


def test_choices_do_not_take_each_other_s_halves() -> None:
    decoder = stream_decoder(2, 1 << 20)
    told = [event({"content": f"a{FIRST}"}), event({"content": "b"}, index=1), event({"content": f"{SECOND}c"})]
    chunks = [chunk for each in (*told, event({}, "stop"), event({}, "stop", 1)) for chunk in decoder.feed(each)]
    assert [joined(chunks)["choices"][index]["text"] for index in "01"] == ["a😀c", "b"]


def test_an_answer_with_half_a_character_is_one_all_the_same() -> None:
    message = {"role": "assistant", "content": f"bad {FIRST} end"}
    answer = decode_response(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())
    assert answer.choices[0].message.content[0].text == f"bad {UNKNOWN} end"


@given(st.text(st.sampled_from("a😀é"), min_size=1), st.data())
def test_text_is_the_same_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le")
    cuts = [*sorted(data.draw(st.sets(st.integers(0, len(units) // 2)))), len(units) // 2]
    pieces, begin = [], 0
    for end in cuts:
        pieces.append(units[2 * begin : 2 * end].decode("utf-16-le", "surrogatepass"))
        begin = end
    assert streamed(*({"content": piece} for piece in pieces if piece))["text"] == text


@pytest.mark.parametrize("depth", [500, 900, 5000])
def test_a_half_in_what_is_nested_too_deeply_is_no_reason_to_break(depth: int) -> None:
    nested = b'{"choices": [{"delta": {"content": ' + b"[" * depth + b'"\\ud83d"' + b"]" * depth + b"}}]}"
    decoder = stream_decoder(1, 1 << 20)
    decoder.feed(b"data: " + nested + b"\n\n" + event({}, "stop"))
    assert decoder.done == (decoder.error is not None)
