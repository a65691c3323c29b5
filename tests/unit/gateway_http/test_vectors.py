from __future__ import annotations

import base64 as codec
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http.json_output import encode_json
from gateway_http.vectors import base64, shortest

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def decimals(values: list[float]) -> bytes:
    """As they are written."""
    return encode_json(shortest(values))


def as_float32(number: float) -> bytes:
    return struct.pack("<f", number)


@given(st.lists(FLOATS, max_size=20))
def test_what_is_written_is_the_same_32_bit_float_again(values: list[float]) -> None:
    read = json.loads(decimals(values))
    assert [as_float32(number) for number in read] == [as_float32(number) for number in values]


@given(FLOATS)
def test_no_number_has_more_digits_than_it_needs(value: float) -> None:
    (number,) = json.loads(decimals([value]), parse_int=str, parse_float=str)
    digits = len(number.removesuffix(".0").partition("e")[0].replace(".", "").strip("-0"))
    if digits > 1:
        assert as_float32(float(f"%.{digits - 1}g" % value)) != as_float32(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.1, b"0.1"),
        (1.0, b"1.0"),
        (-2.5, b"-2.5"),
        (1e-7, b"1e-7"),
        (0.0, b"0.0"),
        (-0.0, b"-0.0"),
        (1 / 3, b"0.33333334"),
    ],
)
def test_numbers_look_as_people_write_them(value: float, written: bytes) -> None:
    assert decimals([struct.unpack("<f", struct.pack("<f", value))[0]]) == b"[" + written + b"]"


def test_no_vector_is_an_empty_array() -> None:
    assert decimals([]) == b"[]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="not a number"):
        decimals([1.0, value])


@given(st.lists(FLOATS, max_size=20))
def test_base64_holds_the_floats_with_the_lowest_byte_first(values: list[float]) -> None:
    assert codec.b64decode(base64(values)) == struct.pack(f"<{len(values)}f", *values)
