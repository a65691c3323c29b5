from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, TollwayError
from services.providers.domain.passing import PIECE, Events, Heard, carries_error, pieces
from services.providers.domain.wire import MAX_EVENT

STREAM = b'event: a\ndata: 1\n\n: ping\r\n\r\ndata: {"error": null}\r\rdata: 2\ndata: 3\n\r\n'
FAILED = b'event: error\ndata: {"type": "error", "error": {"message": "busy"}}\n\n'


@given(st.lists(st.integers(1, len(STREAM)), max_size=20))
def test_events_come_out_to_the_byte_and_whole_however_they_were_cut(cuts: list[int]) -> None:
    events, out = Events(), []
    places = [0, *sorted({*cuts, len(STREAM)})]
    for start, end in pairwise(places):
        passed = events.feed(STREAM[start:end])
        assert not passed.error
        out.append(passed.events)
    assert b"".join(out) == STREAM
    assert all(each.endswith((b"\n\n", b"\r\n", b"\r\r")) for each in out if each)
    assert not events.cut


def test_an_event_that_has_not_ended_is_held_and_known() -> None:
    events = Events()
    assert events.feed(b"data: 1\n\ndata: 2").events == b"data: 1\n\n"
    assert events.cut
    assert events.feed(b"\n\n").events == b"data: 2\n\n"
    assert not events.cut


@pytest.mark.parametrize("at", range(0, len(FAILED), 5))
def test_an_error_is_taken_out_and_all_before_it_is_not(at: int) -> None:
    events = Events()
    first, second = events.feed(b"data: 1\n\n" + FAILED[:at]), events.feed(FAILED[at:])
    assert first.events + second.events == b"data: 1\n\n"
    assert second.error == b'{"type": "error", "error": {"message": "busy"}}'


def test_signs_of_life_do_not_begin_an_answer_and_belong_to_one_that_has_begun() -> None:
    events = Events()
    assert events.feed(b": ping\n\n").events == b""
    assert events.feed(b": ping\n\ndata: 1\n\n").events == b": ping\n\ndata: 1\n\n"
    assert events.feed(b": ping\n\n").events == b": ping\n\n"


def test_what_only_speaks_of_errors_is_none() -> None:
    said = b'data: {"text": "an error", "error": null}\n\n'
    assert Events().feed(said).events == said


def test_an_event_of_the_type_error_is_one_whatever_its_data() -> None:
    assert Events().feed(b"event: error\ndata: busy\n\n").error == b"busy"


def test_an_event_without_end_is_not_waited_for_for_ever() -> None:
    events = Events()
    with pytest.raises(TollwayError) as failed:
        events.feed(b"data: " + b"x" * MAX_EVENT)
    assert failed.value.reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": {"message": "busy"}}', True),
        (b'{"error": "busy"}', True),
        (b'{"error": null, "data": []}', False),
        (b'{"data": ["error"]}', False),
        (b'["error"]', False),
        (b'{"error"', False),
    ],
)
def test_an_error_is_told_from_an_answer(body: bytes, error: bool) -> None:
    assert carries_error(body) is error


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_join_to_what_was_cut(size: int) -> None:
    cut = list(pieces(b"x" * size))
    assert b"".join(cut) == b"x" * size
    assert all(len(piece) <= PIECE for piece in cut)
    assert cut


def test_what_was_too_much_to_keep_is_nothing() -> None:
    heard = Heard(5)
    heard.add(b"abc")
    assert heard.all() == b"abc"
    heard.add(b"defg")
    heard.add(b"h")
    assert heard.all() == b""
