"""What of a question can be told to Gemini: its own dialect's extra fields, and none of another's."""

from __future__ import annotations

from typing import Any

import orjson

from mesh.errors import invalid
from services.providers.domain.foreign import turn_away
from services.providers.domain.unsaid import Unsaid

Json = dict[str, Any]

DIALECT = "gemini"


class Telling:
    """How one question is told: `dialect` names the `extra_json` in it, `unsaid` hears of what cannot be told."""

    def __init__(self, dialect: str, unsaid: Unsaid) -> None:
        self.own = dialect == DIALECT
        self.unsaid = unsaid

    def lay_over(self, said: Json, message: Any, path: str) -> Json:
        """Lays a message's extra fields over what was built from its known ones, object into object."""
        if message.extra_json:
            merge(said, self.extra(message.extra_json, path))
        return said

    def extra(self, text: bytes, path: str) -> Json:
        """The extra fields of what stands at `path`; those of another dialect are turned away."""
        fields = json_object(text, f"{path}.extra_json")
        if self.own:
            return fields
        # What one of them once answered was shown under this name, and may come back so.
        own = fields.pop(DIALECT, None)
        turn_away(fields, path, "has no place in Gemini's API", self.unsaid)
        return own if isinstance(own, dict) else {}


def merge(into: Json, extra: Json) -> None:
    """Lays `extra` over what is there."""
    for key, value in extra.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merge(below, value)
        else:
            into[key] = value


def json_object(text: bytes | str, path: str) -> Json:
    """Raises INVALID_REQUEST for anything but a JSON object; nothing at all is an empty one."""
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value


def written(body: Json) -> bytes:
    """Raises INVALID_REQUEST for what is nested more deeply than can be written, though it could be read."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise invalid("chat", f"cannot be written as JSON: {error}") from None
