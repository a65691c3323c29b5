"""What of a question can be told to Gemini: its own dialect's extra fields, and none of another's."""

from __future__ import annotations

from typing import Any

from services.providers.domain.foreign import turn_away
from services.providers.domain.json_objects import Json, json_object, merge
from services.providers.domain.unsaid import Unsaid

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
