"""What a message carries of a dialect's own fields: JSON objects, laid over what was built from the known ones."""

from __future__ import annotations

from typing import Any

import orjson

from mesh.errors import invalid

Json = dict[str, Any]


def lay_over(said: Json, message: Any, path: str) -> Json:
    """Lays a message's extra fields over what was built from its known ones."""
    if message.extra_json:
        _merge(said, json_object(message.extra_json, f"{path}.extra_json"))
    return said


def _merge(into: Json, extra: Json) -> None:
    for key, value in extra.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            into[key] = value


def json_object(text: bytes, path: str) -> Json:
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value
