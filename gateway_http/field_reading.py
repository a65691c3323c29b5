"""Putting a JSON object's fields into a protobuf message: nothing is dropped, and every error has a path.

For each kind of object a dialect has a table: the name of a field → the reader that puts its value into the message.
A field that is `null` counts as absent. What no reader takes is left over under its own name, at its own place:
reading `{"function": {"name": "f", "new": 1}}` may leave `{"function": {"new": 1}}`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway_http.json_input import name_of
from mesh.errors import TollwayError, invalid

Reader = Callable[[Any, Any], Any]
"""Puts a JSON value into a message; answers with what of it had no place there, if anything."""

Readers = Mapping[str, Reader]

encode_json = msgspec.json.Encoder().encode
_LONGEST_STEP = 64


class Wrong(Exception):
    """A value that cannot be accepted. Every level it rises through puts its own step before the path."""

    def __init__(self, problem: str, *path: str | int) -> None:
        self.problem, self.path = problem, list(path)

    def rise(self, step: str | int) -> None:
        self.path.insert(0, step)

    def as_error(self) -> TollwayError:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST_STEP]}" for step in self.path)
        return invalid("".join(steps).lstrip("."), self.problem)


def read_fields(readers: Readers, target: Any, fields: dict[str, Any]) -> dict[str, Any] | None:
    """Reads an object's fields into a message; answers with those, or those parts, that have no place in it."""
    left: dict[str, Any] | None = None
    for name, value in fields.items():
        reader = readers.get(name)
        if reader is not None:
            if value is None:
                continue
            try:
                value = reader(target, value)
            except Wrong as wrong:
                wrong.rise(name)
                raise
            if value is None:
                continue
        if left is None:
            left = {}
        left[name] = value
    return left


def read_each(read: Callable[[Any], None], values: Any) -> None:
    """Reads an array's items, one by one."""
    for index, value in enumerate(a(list, values)):
        try:
            read(value)
        except Wrong as wrong:
            wrong.rise(index)
            raise


def at(step: str | int, read: Callable[[Any], Any], value: Any) -> Any:
    """Reads a value that no table names; what is wrong with it is wrong at that step."""
    try:
        return read(value)
    except Wrong as wrong:
        wrong.rise(step)
        raise


def json_of(left: dict[str, Any] | None) -> bytes:
    """What is left over, as it travels in `extra_json`."""
    return encode_json(left) if left else b""


_EXPECTED = {str: "a string", bool: "a boolean", list: "an array", dict: "an object", int: "a whole number"}


def a(kind: type, value: Any) -> Any:
    """The value, which must be of exactly that type: for Python a boolean is a whole number, too."""
    if type(value) is not kind:
        raise Wrong(f"must be {_EXPECTED[kind]}, not {name_of(value)}")
    return value


def number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Wrong(f"must be a number, not {name_of(value)}")
    try:
        return float(value)
    except OverflowError:
        raise Wrong("is too large a number") from None


def whole_number(value: Any, bits: int) -> int:
    if type(value) is float:
        raise Wrong("must be a whole number")
    if not -(1 << bits - 1) <= a(int, value) < 1 << bits - 1:
        raise Wrong(f"must fit into {bits} bits")
    return int(value)


def base64(value: Any) -> bytes:
    try:
        return binascii.a2b_base64(a(str, value), strict_mode=True)
    except ValueError:  # of base64, or of a character beyond ASCII
        raise Wrong("must be base64") from None


def into(name: str, kind: type) -> Reader:
    """Reads a string or boolean into the field of that name."""
    return lambda target, value: setattr(target, name, a(kind, value))


def number_into(name: str) -> Reader:
    return lambda target, value: setattr(target, name, number(value))


def whole_number_into(name: str, bits: int) -> Reader:
    return lambda target, value: setattr(target, name, whole_number(value, bits))


def base64_into(name: str) -> Reader:
    return lambda target, value: setattr(target, name, base64(value))


def json_into(name: str) -> Reader:
    """Reads an object, whatever is in it, into the field of that name, as JSON."""
    return lambda target, value: setattr(target, name, encode_json(a(dict, value)))


def here(readers: Readers) -> Reader:
    """Reads an object's fields into the very message that the object stands in."""
    return lambda target, value: read_fields(readers, target, a(dict, value))


def under(name: str, reader: Reader) -> Reader:
    """Reads a value into the message field of that name."""
    return lambda target, value: reader(getattr(target, name), value)


def strings_into(name: str) -> Reader:
    """Reads an array of strings into the repeated field of that name."""

    def read(target: Any, value: Any) -> None:
        strings = getattr(target, name)
        read_each(lambda item: strings.append(a(str, item)), value)

    return read


def map_into(name: str, read_value: Callable[[Any], Any]) -> Reader:
    """Reads an object whose values are all of one kind into the map field of that name."""

    def read(target: Any, value: Any) -> None:
        entries = getattr(target, name)
        for key, item in a(dict, value).items():
            try:
                entries[key] = read_value(item)
            except Wrong as wrong:
                wrong.rise(key)
                raise

    return read


def skip(target: Any, value: Any) -> None:
    """For a field that has been looked at before."""


def keep(target: Any, value: Any) -> Any:
    """For a field that is known and has no place: it is left over, unless it is null."""
    return value
