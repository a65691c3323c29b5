"""What pydantic found, in our words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mesh.config.document import Document
from mesh.config.outline import keys_at, may_be_shown, variables
from mesh.config.problems import KeyPath
from mesh.config.schema import UNION_TAGS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SHOWN = 60
"""Characters of a wrong value that are repeated."""

_BY_TYPE = {
    "missing": "must be given",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def blame(document: Document, error: ErrorDetails) -> None:
    """Adds the error to the document's problems, unless its value was found wanting before it came to the schema."""
    path = _path(error["loc"])
    if any(path[:length] in document.blamed for length in range(1, len(path) + 1)):
        return
    message = _message(document, error, path)
    written = document.origins[path].written if path in document.origins else None
    if message.startswith("must ") and written and may_be_shown(path):
        message += f", not {written[:_SHOWN]}{'…' if len(written) > _SHOWN else ''}"
    document.blame(path, message)


def say(error: ErrorDetails) -> str:
    """What is wrong with a value, whatever it is and wherever it stands."""
    wording = _BY_TYPE.get(error["type"])
    return wording.format(**error.get("ctx", {})) if wording else f"is not accepted: {error['msg']}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like this one, if any is."""
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=cutoff)
    return lowered[found[0]] if found else None


def _message(document: Document, error: ErrorDetails, path: KeyPath) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(document, path)
    return say(error)


def _unknown_key(document: Document, path: KeyPath) -> str:
    origin, keys = document.origin(path), keys_at(path[:-1])
    candidate = None if origin.line is not None else nearest(origin.source, _as_deep(origin.source), 0.85)
    candidate = candidate or nearest(str(path[-1]), keys)
    return f"unknown key; did you mean {candidate}?" if candidate else f"unknown key; there are {', '.join(keys)}"


def _as_deep(variable: str) -> list[str]:
    """The variables that it may have been meant for: a whole section is none of them where a key inside one was."""
    return [each for each in variables() if each.count("__") >= variable.count("__")]


def _path(location: tuple[int | str, ...]) -> KeyPath:
    """The error's location without the tags of unions that pydantic puts between the keys."""
    return tuple(step for step in location if not (isinstance(step, str) and step in UNION_TAGS))
