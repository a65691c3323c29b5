from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.forms import BadForm, Field, read_form

TYPE = "multipart/form-data; boundary=b0"


def part(head: str, value: bytes) -> bytes:
    return f"--b0\r\n{head}\r\n\r\n".encode() + value + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b0--\r\n"


def disposition(rest: str) -> str:
    return f"Content-Disposition: form-data; {rest}"


def test_fields_are_read_in_order_with_files_as_bytes() -> None:
    file = disposition('name="file"; filename="a.wav"') + "\r\nContent-Type: audio/wav"
    made = body(part(disposition('name="model"'), b"whisper"), part(file, b"\0\xff"))
    assert read_form(TYPE, made) == [Field("model", b"whisper"), Field("file", b"\0\xff", "a.wav", "audio/wav")]


def test_a_form_may_have_no_fields() -> None:
    assert read_form(TYPE, b"--b0--\r\n") == []


def test_a_value_may_hold_anything_but_the_boundary() -> None:
    value = b"\r\n--b\r\n\r\n--other--\r\n"
    assert read_form(TYPE, body(part(disposition('name="a"'), value))) == [Field("a", value)]


@pytest.mark.parametrize(
    ("written", "name", "filename"),
    [
        ("name=a; filename=b.wav", "a", "b.wav"),
        ('NAME="a"; FileName="b c.wav"', "a", "b c.wav"),
        (r'name="a\"b"; filename="c\\d"', 'a"b', "c\\d"),
        ("name=\"a\"; filename*=UTF-8''caf%C3%A9.wav", "a", "café.wav"),
        ('name="größe"; filename="ж.wav"', "größe", "ж.wav"),
    ],
)
def test_names_are_read_as_browsers_and_sdks_write_them(written: str, name: str, filename: str) -> None:
    (field,) = read_form(TYPE, body(part(disposition(written), b"x")))
    assert (field.name, field.filename) == (name, filename)


@pytest.mark.parametrize(
    "kind", ['multipart/form-data; boundary="b0"', "multipart/form-data; charset=utf-8;boundary=b0"]
)
def test_the_boundary_may_be_quoted_and_stand_behind_others(kind: str) -> None:
    assert read_form(kind, body(part(disposition("name=a"), b"x"))) == [Field("a", b"x")]


def test_what_stands_before_the_first_boundary_is_passed_over() -> None:
    assert read_form(TYPE, b"hello\r\n" + body(part(disposition("name=a"), b"x"))) == [Field("a", b"x")]


@pytest.mark.parametrize(
    ("kind", "sent", "why"),
    [
        ("multipart/form-data", b"--b0--\r\n", "no boundary"),
        (TYPE, b"", "not whole"),
        (TYPE, b"no form at all", "not whole"),
        (TYPE, part(disposition("name=a"), b"x"), "not whole"),
        (TYPE, b"--b0\r\nContent-Disposition: form-data; name=a\r\n", "headers do not end"),
        (TYPE, b"--b0 junk\r\n\r\n\r\n--b0--", "behind a boundary"),
        (TYPE, body(part(disposition("x=a"), b"x")), "without a name"),
        (TYPE, body(part('Content-Disposition: form-data; name=""', b"x")), "without a name"),
        (TYPE, body(part("Content-Disposition: attachment; name=a", b"x")), "without a name"),
        (TYPE, body(part("X: y", b"x")), "without a name"),
        (TYPE, body(b"--b0\r\n\r\nx\r\n"), "without a name"),
        (TYPE, body(b'--b0\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n'), "not UTF-8"),
        (TYPE, body(part(disposition("name=a") + "\r\nx: " + "y" * 9000, b"x")), "headers do not end"),
        (TYPE, body(*[part(disposition("name=a"), b"x")] * 1025), "more than 1024 fields"),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused_and_says_why(kind: str, sent: bytes, why: str) -> None:
    with pytest.raises(BadForm, match=why):
        read_form(kind, sent)


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), st.binary(max_size=200), max_size=5))
def test_whatever_is_put_into_a_form_comes_out_of_it(fields: dict[str, bytes]) -> None:
    made = body(*(part(disposition(f'name="{name}"'), value) for name, value in fields.items()))
    if not any(b"\r\n--b0" in value for value in fields.values()):
        assert read_form(TYPE, made) == [Field(name, value) for name, value in fields.items()]


@given(st.binary(max_size=300))
def test_nothing_that_is_sent_breaks_it(sent: bytes) -> None:
    for made in (sent, b"--b0\r\n" + sent, b"--b0\r\n" + sent + b"\r\n\r\n" + b"\r\n--b0--"):
        try:
            fields = read_form(TYPE, made)
        except BadForm:
            continue
        assert all(field.name for field in fields)
