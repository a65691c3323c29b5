"""Identifiers: those that sort by the time they were made, and those of traces."""

from __future__ import annotations

from random import Random, SystemRandom
from uuid import UUID

# Seeded by the system once: ids must be unique, not secret, and a system call for each costs more than making it.
_random_bits = Random(SystemRandom().getrandbits(256)).getrandbits


def uuid7(unix_seconds: float) -> str:
    """A UUID version 7 in text form: 48 bits of Unix milliseconds, 74 random bits (RFC 9562, section 5.7)."""
    value = _random_bits(80) | int(unix_seconds * 1000) << 80
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_request_id(unix_seconds: float) -> str:
    """`req_` and 32 hexadecimal digits, which rise with time: an index grows at its end."""
    return "req_" + uuid7(unix_seconds).replace("-", "")


def random_hex(digits: int) -> str:
    """That many hexadecimal digits, not all of them zero."""
    return f"{_random_bits(4 * digits) or 1:0{digits}x}"


def uuid7_time(identifier: str) -> float:
    """The Unix time in seconds inside a UUID version 7. Raises ValueError for anything else."""
    value = UUID(identifier)
    if value.version != 7:
        raise ValueError(f"{identifier} is not a UUID version 7")
    return (value.int >> 80) / 1000
