from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http.json_input import MAX_DEPTH, read_object
from mesh.errors import Reason, TollwayError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('abé😀"\\'),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text("xyz", max_size=3), children, max_size=4),
    max_leaves=20,
)


def refusal(body: bytes) -> TollwayError:
    with pytest.raises(TollwayError) as raised:
        read_object(body)
    assert raised.value.reason is Reason.INVALID_REQUEST
    return raised.value


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), JSON))
def test_every_json_object_is_read_as_it_was_written(value: dict[str, object]) -> None:
    assert read_object(json.dumps(value).encode()) == value


@given(st.binary())
def test_bytes_that_are_no_json_object_are_refused_and_raise_nothing_else(body: bytes) -> None:
    try:
        outcome: object = read_object(body)
    except TollwayError as error:
        outcome = error.reason

    assert outcome is Reason.INVALID_REQUEST or isinstance(outcome, dict)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{\n "a": 1,\n "b": tru\n}', "line 3, column 7"),
        (b'{"a": "b', "line 1, column 9"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b"", "line 1, column 1"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": -Infinity}', "line 1, column 8"),
        (b'{"a": 1e999}', "line 1, column 7"),
        (b'{"a": "\\ud800"}', "line 1, column 8"),
        (b'{"\\ud800": 1}', "line 1, column 3"),
        (b'{"a": "b\x00c"}', "line 1, column 9"),
        (b'{"a": "b\nc"}', "line 1, column 9"),
        (b"\x00{}", "line 1, column 1"),
        (b'{"a": ' + b"9" * 5000 + b"}", "line 1, column 7"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(body: bytes, where: str) -> None:
    error = refusal(body)

    assert error.message.startswith("the body is not valid JSON: ")
    assert error.message.endswith(f"at {where}")


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    assert refusal(b'{"a": "\xff"}').message == "the body is not valid UTF-8 at byte 7"


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"[]", "an array"), (b'"a"', "a string"), (b"1", "a number"), (b"true", "a boolean"), (b"null", "null")],
)
def test_json_that_is_no_object_is_refused_by_name(body: bytes, name: str) -> None:
    assert refusal(body).message == f"the body must be a JSON object, not {name}"


def test_a_body_may_be_as_deep_as_the_bound_and_no_deeper() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * levels + b"1" + b"}" * levels

    assert read_object(nested(MAX_DEPTH))
    assert f"{MAX_DEPTH} levels" in refusal(nested(MAX_DEPTH + 1)).message


@pytest.mark.parametrize("levels", [1000, sys.getrecursionlimit() * 2, 200_000])
def test_depth_beyond_any_parser_s_reach_is_refused_alike(levels: int) -> None:
    body = b'{"a":' + b"[" * levels + b"]" * levels + b"}"

    assert refusal(body).message == f"the body is nested more than {MAX_DEPTH} levels deep"


def test_many_shallow_values_are_not_taken_for_deep_ones() -> None:
    assert len(read_object(json.dumps({"a": [{"b": [1]}] * 500}).encode())["a"]) == 500


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (rb'{"messages": [{"content": "a"}, {"content": [{"text": "b\u0000c"}]}]}', "messages[1].content[0].text"),
        (rb'{"user": "\u0000"}', "user"),
        (rb'{"metadata": {"a\u0000b": 1}}', r"metadata.a\u0000b"),
    ],
)
def test_an_escaped_null_is_refused_by_path(body: bytes, path: str) -> None:
    error = refusal(body)

    assert error.violations[0].field == path
    assert error.message == f"{path}: must not contain a null character"


def test_a_backslash_before_u0000_is_text() -> None:
    assert read_object(rb'{"a": ["\\u0000", 1, null]}') == {"a": [r"\u0000", 1, None]}


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    assert read_object(b'{"model": "a", "model": "b"}') == {"model": "b"}


def test_whole_numbers_keep_all_their_digits() -> None:
    assert read_object(b'{"a": 123456789012345678901234567890}') == {"a": 123456789012345678901234567890}
