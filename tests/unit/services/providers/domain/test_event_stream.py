from __future__ import annotations

from binascii import crc32
from struct import pack

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain.event_stream import Malformed, Message, MessageDecoder
from tests.providers.framing import Header, frame

HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256),
    st.text(max_size=40) | st.binary(max_size=40) | st.booleans() | st.integers(-(2**63), 2**63 - 1),
    max_size=5,
)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=100)), max_size=5)


def decoded(pieces: list[bytes], limit: int = 1 << 20) -> tuple[list[Message], Malformed | None]:
    decoder = MessageDecoder(limit)
    messages: list[Message] = []
    for piece in pieces:
        more, wrong = decoder.feed(piece)
        messages += more
        if wrong is not None:
            return messages, wrong
    return messages, None


def one(headers: dict[str, Header], payload: bytes = b"x") -> bytes:
    return frame(headers, payload)


@given(MESSAGES, st.data())
def test_messages_are_what_botocore_reads_however_the_stream_is_cut(
    written: list[tuple[dict[str, Header], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame(headers, payload) for headers, payload in written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    theirs = EventStreamBuffer()
    theirs.add_data(stream)
    messages, wrong = decoded(pieces)
    assert wrong is None
    assert messages == [(message.headers, message.payload) for message in theirs]
    assert messages == written


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\xff\xfe", -2),
        (4, b"\x00\x00\x01\x00", 256),
        (5, b"\xff" * 8, -1),
        (6, b"\x00\x02ab", b"ab"),
        (7, b"\x00\x02\xc3\xa4", "ä"),
        (8, b"\x00" * 7 + b"\x01", 1),
        (9, b"0123456789abcdef", b"0123456789abcdef"),
    ],
)
def test_every_type_of_header_is_read(kind: int, raw: bytes, value: Header) -> None:
    headers = b"\x01h" + bytes([kind]) + raw
    prelude = pack("!II", 16 + len(headers), len(headers))
    message = prelude + pack("!I", crc32(prelude)) + headers
    messages, wrong = decoded([message + pack("!I", crc32(message))])
    assert wrong is None
    assert messages == [({"h": value}, b"")]
    assert type(messages[0].headers["h"]) is type(value)


def test_no_single_flipped_bit_goes_unnoticed() -> None:
    first, second = one({"a": "b"}), one({"c": True}, b"payload")
    for place in range(len(second) * 8):
        broken = bytearray(second)
        broken[place // 8] ^= 1 << place % 8
        messages, wrong = decoded([first + bytes(broken)])
        assert wrong is not None
        assert len(messages) == 1


def test_a_message_longer_than_the_limit_is_refused_as_soon_as_its_length_is_known() -> None:
    message = one({}, b"x" * 100)
    messages, wrong = decoded([one({}), message[:16]], limit=100)
    assert len(messages) == 1
    assert "more bytes than are read" in str(wrong)
    assert decoded([message], limit=len(message)) == ([({}, b"x" * 100)], None)


def test_a_cut_message_is_none() -> None:
    message = one({"a": "b"})
    for end in range(len(message)):
        assert decoded([message[:end]]) == ([], None)


@pytest.mark.parametrize("headers", [b"\x05a", b"\x01h\x07\x00\x09a", b"\x01h\x0a", b"\x01h\x04\x00", b"\x01\xff\x00"])
def test_headers_that_cannot_be_read_are_malformed(headers: bytes) -> None:
    prelude = pack("!II", 16 + len(headers), len(headers))
    message = prelude + pack("!I", crc32(prelude)) + headers
    messages, wrong = decoded([message + pack("!I", crc32(message))])
    assert messages == []
    assert wrong is not None


def test_headers_longer_than_their_message_are_malformed() -> None:
    prelude = pack("!II", 20, 16)
    assert decoded([prelude + pack("!I", crc32(prelude)) + b"\0" * 8])[1] is not None


def test_many_small_pieces_of_a_long_message_are_not_copied_again_and_again() -> None:
    decoder = MessageDecoder(1 << 22)
    message = one({}, b"x" * (1 << 20))
    for begin in range(0, len(message) - 1, 64):
        assert decoder.feed(message[begin : min(begin + 64, len(message) - 1)]) == ([], None)
    assert len(decoder._held) > 16000
    assert len(decoder.feed(message[-1:])[0]) == 1
