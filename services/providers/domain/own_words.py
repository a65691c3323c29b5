"""What a question carries of a dialect's own JSON fields: told to providers of that dialect, and to nobody else."""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.domain.foreign import only_remarks, turn_away
from services.providers.domain.json_objects import Json, json_object, merge
from services.providers.domain.unsaid import Unsaid


def is_told_in(dialect: str, extra: bytes, path: str, *, own: bool) -> bool:
    """Whether a part that only its extra fields describe is one of that dialect's.

    It is where the question came in the dialect (`own`), and where the fields hold an object that is called as the
    dialect is: so an answer's parts come back from clients of others.
    Raises INVALID_REQUEST for a part that is empty, and for what is no JSON object.
    """
    if not extra:
        raise invalid(path, "is empty")
    fields = json_object(extra, f"{path}.extra_json")
    if own:
        return not fields or dialect in fields or not only_remarks(fields)
    return isinstance(fields.get(dialect), dict)


def turn_part_away(extra: bytes, path: str, why: str, unsaid: Unsaid) -> None:
    """Hears of a part that is not told: what another dialect said of an answer is left out, the rest refused."""
    fields = json_object(extra, f"{path}.extra_json")
    if fields and only_remarks(fields):
        turn_away(fields, path, why, unsaid)
    else:
        unsaid.refuse(path, why)


class OwnWords:
    """Of one question. `dialect` is whose names its extra fields use, `own` the dialect that the provider speaks."""

    def __init__(self, dialect: str, own: str, unsaid: Unsaid) -> None:
        self.sayable, self.dialect = dialect == own, dialect
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
            merge(said, fields)
            return said
        if isinstance(fields.get(self._own), dict):
            merge(said, fields.pop(self._own))
        turn_away(fields, path, self._why, self._unsaid)
        return said
