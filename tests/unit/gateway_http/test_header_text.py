from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http.header_text import header_list, header_text, header_type

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400), max_size=40)


def test_a_usual_name_is_written_as_it_is() -> None:
    assert header_text("openai/gpt-4o (eu), 2") == "openai/gpt-4o (eu), 2"


def test_what_no_header_can_hold_is_percent_encoded() -> None:
    assert header_text("local/é\r\nx: 50%") == "local/%C3%A9%0D%0Ax: 50%25"


def test_a_name_that_never_ends_is_cut() -> None:
    assert header_text("é" * 999) == "%C3%A9" * 253 + "..."


def test_entries_of_a_list_can_be_told_apart() -> None:
    entries = ["chat.metadata.a, b", "chat.messages[0].content[1]", "100%"]
    written = header_list(entries)
    assert written == "chat.metadata.a%2C%20b, chat.messages[0].content[1], 100%25"
    assert [unquote(entry) for entry in written.split(", ")] == entries


def test_of_a_long_list_the_rest_is_counted() -> None:
    *listed, last = header_list([f"chat.messages[{place}].content[0]" for place in range(400)]).split(", ")
    assert last == f"and {400 - len(listed)} more"
    assert listed == [f"chat.messages[{place}].content[0]" for place in range(len(listed))]
    assert len(listed) > 50


def test_an_entry_that_is_too_long_is_counted_too() -> None:
    assert header_list(["chat.seed", "x" * 100_000]) == "chat.seed, and 1 more"


@given(WORDS)
def test_every_list_is_a_header(entries: list[str]) -> None:
    written = header_list(entries)
    assert written.isascii()
    assert written.isprintable()
    assert len(written) < 2100


@pytest.mark.parametrize("wrong", ["audio/\x01wav", "audio/\udcff", "audio/é", "a" * 300])
def test_a_content_type_that_no_header_can_hold_says_nothing(wrong: str) -> None:
    assert header_type(wrong) == "application/octet-stream"
    assert header_type("multipart/mixed; boundary=a%b") == "multipart/mixed; boundary=a%b"
