"""What a question carries of a dialect's own fields, and what becomes of those that are another dialect's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from mesh.errors import invalid
from services.providers.domain.foreign import turn_away
from services.providers.domain.json_objects import Json, merge
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid

_DIALECTS = frozenset({"anthropic", "bedrock", "cohere", "gemini", "openai", "openai_responses"})
"""Under these names clients are shown what an answer says that their dialect has no place for, and send it back."""
_FOREIGN = "is another dialect's and has no meaning to this provider"

encode_json = msgspec.json.Encoder().encode
"""Unlike most, it keeps every digit of a whole number, and so does the decoder."""
_decode = msgspec.json.Decoder().decode


class Asked(NamedTuple):
    """Who is asked a question, and what becomes of what they cannot be told.

    `dialect` is theirs, `own` whether the question came in it.
    """

    unsaid: Unsaid
    quirks: Quirks
    dialect: str
    own: bool

    def lay_over(self, said: Json, message: Any, path: str) -> Json:
        """Lays a message's extra fields over what was built from its known ones. Foreign ones are turned away."""
        if message.extra_json:
            extra = self.without_remarks(json_object(message.extra_json, f"{path}.extra_json"), path)
            if self.own:
                merge(said, extra)
            else:
                # What one of them once answered was shown under their dialect's name, and may come back so.
                theirs = extra.pop(self.dialect, None)
                if isinstance(theirs, dict):
                    merge(said, theirs)
                self.refuse_fields(extra, path)
        return said

    def without_remarks(self, fields: Json, path: str) -> Json:
        """The fields without what other dialects said of an earlier answer, which means nothing to anyone else."""
        for name in [name for name in fields if name in _DIALECTS and name != self.dialect]:
            if isinstance(fields[name], dict):
                del fields[name]
                self.unsaid.leave_out(f"{path}.{name}")
        return fields

    def refuse_fields(self, extra: Mapping[str, Any], path: str) -> None:
        turn_away(extra, path, _FOREIGN, self.unsaid)

    def refuse_foreign(self, path: str) -> None:
        self.unsaid.refuse(path, _FOREIGN)


def only_remarks(text: bytes, path: str) -> bool:
    """Whether there is nothing in extra fields but what dialects said, each under its name."""
    fields = json_object(text, f"{path}.extra_json")
    return all(name in _DIALECTS and isinstance(value, dict) for name, value in fields.items())


def json_object(text: bytes, path: str) -> Json:
    """Raises INVALID_REQUEST, naming the path, for anything but a JSON object."""
    if not text:
        return {}
    try:
        value = _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise invalid(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, "must be a JSON object")
    return value


def body_json(body: Json) -> bytes:
    """Raises INVALID_REQUEST for what is nested more deeply than can be written, though it could be read."""
    try:
        return encode_json(body)
    except RecursionError as error:
        raise invalid("chat", f"cannot be written as JSON: {error}") from None
