from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain.sse import Event, EventDecoder

LINES = [
    "data: a",
    "data:b",
    "data: é👋",
    "data",
    "data:  two",
    "event: ping",
    "event",
    ": note",
    "id: 1",
    "retry: 5",
    "",
]


def decode(*pieces: bytes, limit: int = 1000) -> list[Event]:
    decoder = EventDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)]


def by_the_book(lines: list[str]) -> list[Event]:
    """What the standard says of whole lines, one after the other."""
    events: list[Event] = []
    kind, data = "", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            if data:
                events.append((kind.encode(), data[:-1].encode()))
            kind, data = "", ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            kind = value
    return events


@given(
    lines=st.lists(st.sampled_from(LINES), max_size=20),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=20, max_size=20),
    bom=st.booleans(),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_any_stream_means_what_the_standard_says_however_it_was_cut(
    lines: list[str], ends: list[str], bom: bool, cuts: list[int]
) -> None:
    body = ("\ufeff" if bom else "").encode() + "".join(map("".join, zip(lines, ends, strict=False))).encode()
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = [body[start:end] for start, end in pairwise(edges)]
    text = "".join(map("".join, zip(lines, ends, strict=False)))
    assert decode(*pieces) == by_the_book(lines_of(text))


def lines_of(text: str) -> list[str]:
    """The lines that have an end: a CR and a LF that happen to follow each other are one end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]


def test_an_event_without_a_blank_line_after_it_is_none() -> None:
    assert decode(b"data: a\n\ndata: b\n") == [(b"", b"a")]


def test_a_carriage_return_at_the_end_of_a_piece_ends_its_line_at_once() -> None:
    decoder = EventDecoder(1000)
    assert decoder.feed(b"data: a\r\r") == [(b"", b"a")]
    assert decoder.feed(b"\ndata: b\n\n") == [(b"", b"b")]


def test_a_byte_order_mark_is_skipped_at_the_start_alone() -> None:
    assert decode(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [(b"", b"a")]
    assert decode(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [(b"", b"a")]


@pytest.mark.parametrize("pieces", [[b"data: 456789\n\n"], [b"data: 45", b"6789", b"\n\n"]])
def test_an_event_as_long_as_the_limit_is_read(pieces: list[bytes]) -> None:
    assert decode(*pieces, limit=12) == [(b"", b"456789")]


@pytest.mark.parametrize(
    "pieces", [[b"data: 4567890\n\n"], [b"data: 45", b"67890", b"\n\n"], [b"data: 4567890\n", b"\n"]]
)
def test_an_event_longer_than_the_limit_stops_the_reading_but_not_what_came_before(pieces: list[bytes]) -> None:
    decoder = EventDecoder(12)
    events: list[Event] = []
    for piece in (b"data: ok\n\n", *pieces):
        if not decoder.overflown:
            events += decoder.feed(piece)
    assert events == [(b"", b"ok")]
    assert decoder.overflown


def test_an_event_that_never_ends_is_not_kept_for_ever() -> None:
    decoder = EventDecoder(1000)
    fed = 0
    while not decoder.overflown:
        decoder.feed(b"x" * 100)
        fed += 100
    assert fed <= 1200
