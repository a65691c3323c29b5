from __future__ import annotations

from typing import Any

import pytest

from services.providers.domain.error_bodies import read_body, text_of


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"error": {"code": 5}}', {"error": {"code": 5}}),
        (b'["no"]', ["no"]),
        (b" upstream timed out \n", {"message": "upstream timed out"}),
        (b"<html><head><Title>502 Bad Gateway</Title></head><body>long story</body>", {"message": "502 Bad Gateway"}),
        (b"<html><body>no title</body>", {"message": ""}),
        (b"", {"message": ""}),
        (b"\xffno", {"message": "\N{REPLACEMENT CHARACTER}no"}),
        (b"x" * 5000, {"message": "x" * 1000}),
    ],
)
def test_of_a_body_there_is_its_json_or_what_it_says(body: bytes, read: Any) -> None:
    assert read_body(body) == read


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (429, "429"), (True, "True"), (None, ""), ({"a": 1}, ""), (["a"], "")]
)
def test_a_word_or_a_number_is_shown_and_nothing_else(value: Any, text: str) -> None:
    assert text_of(value) == text
