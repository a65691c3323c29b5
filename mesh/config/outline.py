"""Finds one's way in the schema by path: which keys there are, and whether a value may be shown."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from mesh.config.problems import KeyPath
from mesh.config.schema import Config, Section

PREFIX = "TOLLWAY_"


def keys_at(path: KeyPath) -> list[str]:
    """The keys of the section at the path; none where names are free, or where there is no section."""
    kind = _descend(path)[0]
    return list(fields_of(kind)) if _is_section(kind) else []


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """The section's fields by their keys: `from`, which no field can be called, is the alias of one."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def is_structured(path: KeyPath) -> bool:
    """Whether a mapping or a list may stand at the path."""
    return _descend(path)[0] is not None


def is_list(path: KeyPath) -> bool:
    """Whether a list is wanted at the path, rather than a mapping."""
    return get_origin(_descend(path)[0]) is tuple


def may_be_shown(path: KeyPath) -> bool:
    """Whether the value at the path can be repeated to people: it is not, nor lies in, what may hold a secret."""
    return _descend(path)[1]


@cache
def variables() -> tuple[str, ...]:
    """The names of the TOLLWAY_ variables whose paths have no free names in them."""
    return tuple(PREFIX + "__".join(path).upper() for path in _fixed_paths(Config))


def _fixed_paths(section: type[Section]) -> Iterator[tuple[str, ...]]:
    for name, field in fields_of(section).items():
        kind = _structure(field.annotation)
        yield (name,)
        if _is_section(kind):
            yield from ((name, *rest) for rest in _fixed_paths(kind))


def _descend(path: KeyPath) -> tuple[Any, bool]:
    kind: Any = Config
    shown = True
    for step in path:
        if _is_section(kind):
            field = fields_of(kind).get(str(step))
            kind = _structure(field.annotation) if field else None
            shown = shown and field is not None and field.repr
        elif get_origin(kind) is dict:
            kind = _structure(get_args(kind)[1])
        elif get_origin(kind) is tuple:
            kind = _structure(get_args(kind)[0])
        else:
            kind = None
    return kind, shown


def _structure(annotation: Any) -> Any:
    """The section, dict or tuple type inside an annotation; None where a scalar is wanted."""
    if get_origin(annotation) is Annotated:
        return _structure(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return next((kind for kind in map(_structure, get_args(annotation)) if kind is not None), None)
    return annotation if _is_section(annotation) or get_origin(annotation) in (dict, tuple) else None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
