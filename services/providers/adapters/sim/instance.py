"""An instance of a JSON Schema: small, valid for the features that tools and structured outputs use, and by a seed.

Known are types (one or several), const, enum, properties and required, items, prefixItems, the bounds of numbers,
strings and arrays, uniqueItems, multipleOf, format, allOf, anyOf, oneOf, and references inside the document. Where
`required` is absent, all properties are given, so that a tool's arguments are worth looking at. What is not known
(pattern, not, if) is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any
from uuid import UUID

from services.providers.adapters.sim.text import word

Schema = Any
"""A JSON Schema: an object, or a boolean."""

_GENEROUS_DEPTH = 3
_DEEPEST = 60
_MOST_STEPS = 2000
_LONGEST_TEXT = 10_000
_FORMATS = {
    "date-time": "2024-05-17T09:30:00Z",
    "date": "2024-05-17",
    "time": "09:30:00Z",
    "duration": "P3D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
}


class Impossible(Exception):
    """There is no instance, or none within the bounds set here."""


def instance(schema: Schema, random: Random) -> Any:
    """A value that the schema accepts. Raises Impossible."""
    try:
        return _Maker(schema, random).make(schema, 0)
    except (TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Impossible(f"it is not a JSON Schema ({type(error).__name__})") from None


class _Maker:
    def __init__(self, document: Schema, random: Random) -> None:
        self._document, self._random = document, random
        self._steps = 0

    def make(self, schema: Schema, depth: int) -> Any:
        self._steps += 1
        if schema is False or depth > _DEEPEST or self._steps > _MOST_STEPS:
            raise Impossible("the schema accepts nothing, or nothing that is small")
        if not isinstance(schema, dict):
            return word(self._random)
        if "$ref" in schema:
            return self.make(_merged(self._resolve(schema["$ref"]), _without(schema, "$ref")), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                rest = _without(schema, several)
                return self._first((_merged(rest, one) for one in self._simplest(schema[several], depth)), depth)
        if "allOf" in schema:
            merged = _without(schema, "allOf")
            for part in schema["allOf"]:
                merged = _merged(merged, self._resolved(part))
            return self.make(merged, depth + 1)
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, list):
            last = sorted(kind, key=lambda name: name == "null")
            return self._first(({**schema, "type": name} for name in last), depth)
        return self._of_type(kind, schema, depth)

    def _of_type(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
        raise Impossible(f"there is no type {kind!r}")

    def _first(self, alternatives: Iterable[Schema], depth: int) -> Any:
        """An instance of the first alternative that has one."""
        reason = Impossible("there is no alternative")
        for schema in alternatives:
            try:
                return self.make(schema, depth + 1)
            except Impossible as impossible:
                reason = impossible
        raise reason

    def _simplest(self, alternatives: list[Schema], depth: int) -> list[Schema]:
        """In order; deep down, those that may go round in a circle last."""
        if depth <= _GENEROUS_DEPTH:
            return alternatives
        return sorted(alternatives, key=lambda schema: isinstance(schema, dict) and "$ref" in schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required")
        made: dict[str, Any] = {}
        for name, below in properties.items():
            if required is not None and name in required:
                made[name] = self.make(below, depth + 1)
            elif required is None and depth < _GENEROUS_DEPTH:
                try:
                    made[name] = self.make(below, depth + 1)
                except Impossible:
                    continue  # it may be left out
        for name in required or ():
            if name not in made:
                made[name] = self.make(schema.get("additionalProperties", True), depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        made: list[Any] = []
        below = self._items(schema)
        try:
            while len(made) < max(least, min(1, most) if depth <= _GENEROUS_DEPTH else 0):
                item = self._distinct if schema.get("uniqueItems") else self._any
                made.append(item(next(below), made, depth))
        except Impossible:
            if len(made) < least:
                raise
        return made

    def _items(self, schema: dict[str, Any]) -> Iterator[Schema]:
        yield from schema.get("prefixItems", ())
        while True:
            yield schema.get("items", True)

    def _any(self, schema: Schema, made: list[Any], depth: int) -> Any:
        return self.make(schema, depth + 1)

    def _distinct(self, schema: Schema, made: list[Any], depth: int) -> Any:
        for _ in range(100):
            item = self.make(schema, depth + 1)
            if item not in made:
                return item
        raise Impossible("there are too few distinct items")

    def _string(self, schema: dict[str, Any]) -> str:
        if schema.get("format") == "uuid":
            return str(UUID(int=self._random.getrandbits(128), version=4))
        text = _FORMATS.get(schema.get("format", ""))
        if text is not None:
            return text
        text, least = word(self._random), schema.get("minLength", 0)
        if least > _LONGEST_TEXT:
            raise Impossible("the schema accepts nothing that is small")
        while len(text) < least:
            text += " " + word(self._random)
        return text[: max(schema.get("maxLength", len(text)), 0)].ljust(least, "x")

    def _number(self, schema: dict[str, Any], *, whole: bool) -> Any:
        step = schema.get("multipleOf") or (1 if whole else 0.5)
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
        if low == -math.inf:
            low = 1 if high > 1 else high - 99 * step
        # In steps, and inside of bounds that are excluded.
        first, last = math.ceil(low / step), math.floor(min(high, low + 99 * step) / step)
        first += first * step == schema.get("exclusiveMinimum")
        last -= last * step == schema.get("exclusiveMaximum")
        if first <= last:
            number = self._random.randint(first, last) * step
            return int(number) if whole else number
        if whole or "multipleOf" in schema or low > high:
            raise Impossible("there is no number between its bounds")
        return (low + high) / 2

    def _resolved(self, schema: Schema) -> Schema:
        while isinstance(schema, dict) and "$ref" in schema:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise Impossible("the references go round in a circle")
            schema = _merged(self._resolve(schema["$ref"]), _without(schema, "$ref"))
        return schema

    def _resolve(self, pointer: str) -> Schema:
        found = self._document
        for step in pointer.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise Impossible(f"there is nothing at {pointer}")
            found = found[name]
        return found


def _implied_type(schema: dict[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if schema.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
        return "number"
    return "string"


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _merged(one: Schema, other: Schema) -> Schema:
    """A schema that asks for both, as far as they speak of different things or of properties."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False if False in (one, other) else one if isinstance(one, dict) else other
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged
