"""JSON objects, in a question's fields of bytes and in answers: read, laid over one another, and written."""

from __future__ import annotations

from typing import Any

import orjson

from mesh.errors import invalid

Json = dict[str, Any]


def json_object(text: bytes | str, path: str) -> Json:
    """The object; nothing at all is an empty one. Raises INVALID_REQUEST, naming the path, for anything else."""
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value


def sent_object(data: bytes) -> Json:
    """The object that a provider sent. Raises ValueError for anything else."""
    value = orjson.loads(data)
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
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise invalid("chat", f"cannot be written as JSON: {error}") from None
