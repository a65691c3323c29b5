"""Vectors of 32-bit floats in JSON."""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from collections.abc import Sequence

_PLACES = 9
"""Decimal places that most numbers of a vector of length 1 need."""
_MOST_PLACES = 12
"""With as many, what a 32-bit float is multiplied with is still exact."""
_LARGE = 1_000.0
_MOST_DIGITS = 9
"""Decimal digits that tell any 32-bit float from every other."""


def shortest(values: Sequence[float]) -> list[float]:
    """The same 32-bit floats, as those 64-bit floats which are written with the fewest decimal digits.

    Raises ValueError for what is no number: JSON has no word for it.
    """
    if not math.isfinite(sum(values)):
        raise ValueError("it is not a number")
    vector = _Vector(values)
    usual = [index for index, number in enumerate(values) if -_LARGE < number < _LARGE]
    same, others = vector.round(usual, _PLACES)
    for places in range(_PLACES - 1, -1, -1):
        same, _ = vector.round(same, places)
    for places in range(_PLACES + 1, _MOST_PLACES + 1):
        _, others = vector.round(others, places)
    vector.shorten([*others, *(index for index, number in enumerate(values) if not -_LARGE < number < _LARGE)])
    return vector.numbers


class _Vector:
    """Numbers that are being rounded; `exact` are the floats that they stand for."""

    def __init__(self, values: Sequence[float]) -> None:
        self.exact, self.numbers = array("f", values), list(values)

    def round(self, indices: list[int], places: int) -> tuple[list[int], list[int]]:
        """Rounds these where they stay the same floats; which of them do, and which do not.

        All at once, since vectors are long: one by one, in as few digits as each needs, takes five times as long.
        """
        exact, scale = self.exact, 10.0**places
        rounded = [round(exact[index] * scale) / scale for index in indices]
        same: list[int] = []
        others: list[int] = []
        for index, number, as_float in zip(indices, rounded, array("f", rounded), strict=True):
            if as_float == exact[index]:
                self.numbers[index] = number or exact[index]  # for zeros have a sign
                same.append(index)
            else:
                others.append(index)
        return same, others

    def shorten(self, indices: list[int]) -> None:
        """The same, one by one, for those that are very large or very small."""
        for index in indices:
            number = self.exact[index]
            candidates = (float(f"{number:.{digits}g}") for digits in range(1, _MOST_DIGITS + 1))
            self.numbers[index] = next(each for each in candidates if array("f", (each,))[0] == number)


def base64(values: Sequence[float]) -> str:
    """The floats' own bytes, the lowest first."""
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return binascii.b2a_base64(packed.tobytes(), newline=False).decode()
