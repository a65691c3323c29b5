"""The notations of configuration values: `250ms`, `32MiB`, `$5.00`. Each parses to a plain number."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from mesh.money import format_usd, parse_usd

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_duration(text: object) -> float:
    """Seconds of a duration such as `250ms`, `10s`, `5m` or `1h`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 10s or 5m")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(text: object) -> int:
    """Bytes of a size such as `32MiB` or `4096`. Raises ValueError for anything else."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB|kB|MB|GB)?", text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 32MiB")
    return int(match[1]) * _BYTES[match[2] or "B"]


def _parse_money(text: object) -> int:
    # A bare number stays text on its way here (the loader keeps YAML floats as written), so no float is ever rounded.
    if isinstance(text, bool) or not isinstance(text, (str, int)):
        raise ValueError(f"{text!r} is not an amount such as $5.00")
    return parse_usd(str(text))


def format_duration(seconds: float) -> str:
    """The duration in the largest unit that keeps it whole."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds * 1000:g}ms"


Duration = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
"""Seconds."""

Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes."""

NanoUsd = Annotated[int, BeforeValidator(_parse_money), PlainSerializer(lambda nanos: "$" + format_usd(nanos))]
"""Nano-USD."""
