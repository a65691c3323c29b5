"""Vectors of 32-bit floats in JSON."""

from __future__ import annotations

import binascii
import sys
from array import array
from collections.abc import Sequence

_MOST_DIGITS = 9
"""Decimal digits that tell any 32-bit float from every other."""


def decimals(values: Sequence[float]) -> bytes:
    """An array of numbers, each with the fewest digits that give the same 32-bit float.

    Raises ValueError for what is no number: JSON has no word for it.
    """
    texts = _written(values, _MOST_DIGITS)
    exact = array("f", values)
    left: Sequence[int] = range(len(values))
    for digits in range(_MOST_DIGITS - 1, 0, -1):
        # Whatever needs more digits than these has been given them; the others are tried with one digit fewer.
        shorter = _written([values[i] for i in left], digits)
        read = array("f", map(float, shorter))
        kept = [(i, text) for i, text, number in zip(left, shorter, read, strict=True) if number == exact[i]]
        for i, text in kept:
            texts[i] = text
        left = [i for i, _ in kept]
        if not kept:
            break
    if "-0" in texts:  # which readers of JSON take for a whole number, and those have no sign
        texts = ["-0.0" if text == "-0" else text for text in texts]
    joined = ",".join(texts)
    if "n" in joined:  # of nan and inf
        raise ValueError("it is not a number")
    return b"[%b]" % joined.encode()


def _written(values: Sequence[float], digits: int) -> list[str]:
    """All at once, since one by one it would take three times as long."""
    return (f"%.{digits}g " * len(values) % tuple(values)).split()


def base64(values: Sequence[float]) -> str:
    """The floats' own bytes, the lowest first."""
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return binascii.b2a_base64(packed.tobytes(), newline=False).decode()
