"""JSON objects, in a question's fields of bytes and in answers: read, laid over one another, and written.

Whole numbers keep all their digits, as schemas and arguments of tools have them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.errors import invalid

Json = dict[str, Any]

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def decode_json(text: bytes | str) -> Any:
    """Raises ValueError for what is no JSON, and for what is nested more deeply than can be read."""
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode_json(value: Any) -> bytes:
    """Raises ValueError for what is nested more deeply than can be written, though it could be read."""
    try:
        return _encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_it_stands(text: str) -> msgspec.Raw:
    """A value that is written as this JSON, digit by digit. Nobody looks whether it is JSON."""
    return msgspec.Raw(text)


def json_object(text: bytes | str, path: str) -> Json:
    """The object; nothing at all is an empty one. Raises INVALID_REQUEST, naming the path, for anything else."""
    if not text:
        return {}
    try:
        value = decode_json(text)
    except ValueError as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value


def sent_json(data: bytes) -> Any:
    """What a provider sent. Bytes that are not UTF-8 become U+FFFD. Raises ValueError for what is no JSON."""
    try:
        return decode_json(data)
    except ValueError:
        return decode_json(data.decode("utf-8", "replace"))


def sent_object(data: bytes) -> Json:
    """The object that a provider sent, as `sent_json` reads it. Raises ValueError for anything else."""
    value = sent_json(data)
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


def merge(into: Json, extra: Json) -> None:
    """Lays `extra` over what is there, object into object."""
    for key, value in extra.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merge(below, value)
        else:
            into[key] = value


def written(body: Json) -> bytes:
    """Raises INVALID_REQUEST for what is nested more deeply than can be written, though it could be read."""
    try:
        return encode_json(body)
    except ValueError as error:
        raise invalid("chat", f"cannot be written as JSON: {error}") from None
