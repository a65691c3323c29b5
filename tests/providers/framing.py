"""AWS's binary event stream, written: what a test sends or reads in its place."""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Mapping
from struct import pack
from typing import Any

Header = str | bytes | int | bool


def frame(headers: Mapping[str, Header], payload: bytes) -> bytes:
    """One message. Whole numbers are written as 64-bit ones."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = pack("!II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + pack("!I", crc32(prelude)) + packed + payload
    return message + pack("!I", crc32(message))


def _header(name: str, value: Header) -> bytes:
    key = bytes([len(name.encode())]) + name.encode()
    if isinstance(value, bool):
        return key + (b"\0" if value else b"\1")
    if isinstance(value, int):
        return key + b"\5" + pack("!q", value)
    data = value.encode() if isinstance(value, str) else value
    return key + (b"\7" if isinstance(value, str) else b"\6") + pack("!H", len(data)) + data


def frames(lines: str) -> bytes:
    """A stream from lines of JSON.

    `{"event": <type>, "payload": …}` and `{"exception": <type>, "payload": …}` are messages as AWS sends them;
    `{"headers": …, "payload": …}` is any other. A payload that is a string is sent as it is, `"corrupt": true` breaks
    the message's checksum.
    """
    return b"".join(_framed(json.loads(line)) for line in lines.splitlines() if line)


def _framed(line: dict[str, Any]) -> bytes:
    headers = dict(line.get("headers", {}))
    for kind in ("event", "exception"):
        if kind in line:
            headers = {
                f":{kind}-type": line[kind],
                ":content-type": "application/json",
                ":message-type": kind,
                **headers,
            }
    payload = line.get("payload", "")
    data = frame(headers, payload.encode() if isinstance(payload, str) else json.dumps(payload).encode())
    return data[:-1] + bytes([data[-1] ^ 1]) if line.get("corrupt") else data
