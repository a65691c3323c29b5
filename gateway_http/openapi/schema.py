"""JSON Schemas (2020-12), in few words."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NAME: Json = {"type": "string", "minLength": 1}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}
COUNT: Json = {"type": "integer", "minimum": 0}
YES_OR_NO: Json = {"type": "boolean"}
OBJECT: Json = {"type": "object"}
ANYTHING: Json = {}
BINARY: Json = {"type": "string", "format": "binary"}
MODEL: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "description": "A name of `/v1/models`, or any that the configuration lets through.",
    "examples": ["sim"],
}


def an_object(required: str = "", /, **properties: Json) -> Json:
    """An object; `required` are the names that must be there. It may have others, too."""
    schema: Json = {"type": "object", "properties": properties}
    return {**schema, "required": required.split()} if required else schema


def array(items: Json, **bounds: int) -> Json:
    return {"type": "array", "items": items, **bounds}


def one_of(*values: str) -> Json:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def const(value: str) -> Json:
    return {"type": "string", "const": value}


def either(*schemas: Json) -> Json:
    return {"anyOf": list(schemas)}


def or_null(schema: Json) -> Json:
    return either(schema, {"type": "null"})


def ref(name: str) -> Json:
    """A schema that stands among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def said(schema: Json, description: str) -> Json:
    return {**schema, "description": description}
