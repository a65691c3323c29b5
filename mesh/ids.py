"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
from uuid import UUID


def uuid7(unix_seconds: float) -> str:
    """A UUID version 7 in text form: 48 bits of Unix milliseconds, 74 random bits (RFC 9562, section 5.7)."""
    value = int.from_bytes(os.urandom(10), "big")
    value |= int(unix_seconds * 1000) << 80
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7_time(identifier: str) -> float:
    """The Unix time in seconds inside a UUID version 7. Raises ValueError for anything else."""
    value = UUID(identifier)
    if value.version != 7:
        raise ValueError(f"{identifier} is not a UUID version 7")
    return (value.int >> 80) / 1000
