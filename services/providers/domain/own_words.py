"""What a question carries of a dialect's own JSON fields: told to providers of that dialect, and to nobody else."""

from __future__ import annotations

from typing import Any

import orjson

from mesh.errors import invalid
from services.providers.domain.foreign import turn_away
from services.providers.domain.unsaid import Unsaid

Json = dict[str, Any]


class OwnWords:
    """Of one question. `dialect` is whose names its extra fields use, `own` the dialect that the provider speaks."""

    def __init__(self, dialect: str, own: str, unsaid: Unsaid) -> None:
        self.sayable = dialect == own
        self._unsaid, self._own = unsaid, own
        self._why = f"is a field of {dialect or 'openai'}'s API that {own}'s has no place for"

    def lay_over(self, said: Json, extra: bytes, path: str) -> Json:
        """Lays the extra fields at that path over what was built from the known ones, object into object.

        Of another dialect, they are turned away (`domain.foreign`), but for one that is called as the provider's
        dialect is and holds its own words for it.
        Raises INVALID_REQUEST for what is no JSON object, and what `Unsaid.refuse` raises.
        """
        if not extra:
            return said
        fields = json_object(extra, f"{path}.extra_json")
        if self.sayable:
            _merge(said, fields)
            return said
        if isinstance(fields.get(self._own), dict):
            _merge(said, fields.pop(self._own))
        turn_away(fields, path, self._why, self._unsaid)
        return said


def _merge(into: Json, extra: Json) -> None:
    for key, value in extra.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            into[key] = value


def json_object(text: bytes | str, path: str) -> Json:
    """Nothing is an empty one. Raises INVALID_REQUEST naming the path."""
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
