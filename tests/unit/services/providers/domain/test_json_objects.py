from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.domain.json_objects import as_it_stands, json_object, sent_object, written


@pytest.mark.parametrize("text", ["{", "[1]", "1", "null", '"x"'])
def test_what_is_no_object_is_named_by_its_path(text: str) -> None:
    with pytest.raises(TollwayError, match=r"chat\.x") as caught:
        json_object(text, "chat.x")
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_nothing_is_an_empty_object() -> None:
    assert json_object("", "chat.x") == {}
    assert json_object(b"", "chat.x") == {}


def test_a_whole_number_keeps_all_its_digits() -> None:
    text = b'{"n":123456789012345678901234567890}'
    assert written(json_object(text, "chat.x")) == written(sent_object(text)) == text


def test_a_value_is_written_as_it_stands() -> None:
    assert written({"a": as_it_stands('{"b": 0.10}')}) == b'{"a":{"b": 0.10}}'


def test_what_a_provider_sent_need_not_be_utf_8() -> None:
    assert sent_object(b'{"a": "\xff"}') == {"a": "\ufffd"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"<html>", b"[" * 5000 + b"]" * 5000])
def test_what_a_provider_sent_that_is_no_object_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        sent_object(data)


def test_what_is_nested_too_deeply_is_invalid_read_or_written() -> None:
    with pytest.raises(TollwayError, match=r"chat\.x") as caught:
        json_object(b'{"a":' * 5000 + b"1" + b"}" * 5000, "chat.x")
    assert caught.value.reason is Reason.INVALID_REQUEST
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(TollwayError) as caught:
        written(deep)
    assert caught.value.reason is Reason.INVALID_REQUEST
