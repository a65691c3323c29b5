"""What a question carries beside the known fields, and whether Anthropic can be told it.

A question that came in Anthropic's own dialect has extra fields under Anthropic's names: they are laid over what was
built from the known ones, object into object. In any other dialect they mean nothing here, except for what a client put
under the key `anthropic` on purpose, or has from an earlier answer that carried it there.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.errors import invalid
from services.providers.domain.foreign import turn_away
from services.providers.domain.json_objects import Json, json_object, merge
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

NAME = "anthropic"
"""What this dialect is called: in `dialect`, in `issuer`, and as the key for its fields in other dialects."""


class Telling(NamedTuple):
    """How one question is told. `own`: its extra fields go by Anthropic's names."""

    own: bool
    unsaid: Unsaid

    @classmethod
    def of(cls, chat: chat_pb2.ChatRequest, unsaid: Unsaid) -> Telling:
        return cls(chat.dialect == NAME, unsaid)


def lay_over(said: Json, extra_json: bytes, path: str, telling: Telling) -> Json:
    """Lays what `extra_json` says in Anthropic's names over what was built from the known fields."""
    if extra_json:
        merge(said, own_names(extra_json, path, telling))
    return said


def own_names(extra_json: bytes, path: str, telling: Telling) -> Json:
    """The extra fields that go by Anthropic's names; the others are refused, or left out, one by one.

    Raises INVALID_REQUEST for what is no JSON object.
    """
    extras = json_object(extra_json, f"{path}.extra_json")
    if telling.own:
        return extras
    own = extras.pop(NAME, None)
    turn_away(extras, path, "has no place in Anthropic's API", telling.unsaid)
    if own is None:
        return {}
    if not isinstance(own, dict):
        raise invalid(f"{path}.{NAME}", "must be an object")
    return own
