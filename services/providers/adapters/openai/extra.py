"""What a question carries of a dialect's own fields, and what becomes of those that are another dialect's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.providers.domain.foreign import is_remark, turn_away
from services.providers.domain.json_objects import Json, json_object, merge
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid

FOREIGN = "is another dialect's and has no meaning to this provider"


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
        for name in [name for name, value in fields.items() if is_remark(name, value) and name != self.dialect]:
            del fields[name]
            self.unsaid.leave_out(f"{path}.{name}")
        return fields

    def refuse_fields(self, extra: Mapping[str, Any], path: str) -> None:
        turn_away(extra, path, FOREIGN, self.unsaid)

    def refuse_foreign(self, path: str) -> None:
        self.unsaid.refuse(path, FOREIGN)
