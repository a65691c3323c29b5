"""Writing JSON, with the fields that had no place in a message back where they came from."""

from __future__ import annotations

from typing import Any

import msgspec

encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode


def put_back(target: dict[str, Any], extra_json: bytes) -> None:
    """Adds the fields that had no place in the message, where nothing stands yet, at every depth."""
    if extra_json:
        _merge(target, decode_json(extra_json))


def _merge(target: dict[str, Any], extra: dict[str, Any]) -> None:
    for name, value in extra.items():
        there = target.get(name)
        if there is None:
            target[name] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            _merge(there, value)
