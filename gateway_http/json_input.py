"""Reading a request's JSON strictly: what is wrong, and where, before anything else looks at it.

The happy path is one decode and two searches. Only a body that looks suspicious (many brackets, an escaped null) is
walked, and only a body that failed is parsed a second time, by a parser that knows the line and column.

Where a key stands twice in an object the last one counts: what is sent on is written anew, so nobody behind the edge
sees the other. Whole numbers keep all their digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from mesh.errors import Reason, TollwayError, invalid

MAX_DEPTH = 100
"""Levels of arrays and objects a body may have: beyond what any JSON Schema needs, below what any parser fails at."""

_decode = msgspec.json.Decoder().decode
_ESCAPED_NULL = b"\\u0000"


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object a body holds. Raises INVALID_REQUEST, saying where."""
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # of JSON or of UTF-8
        raise _malformed(body, str(error)) from None
    if type(value) is not dict:
        raise TollwayError(Reason.INVALID_REQUEST, f"the body must be a JSON object, not {name_of(value)}")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, value):
        raise _too_deep()
    if _ESCAPED_NULL in body and (path := _path_of_null(value)) is not None:
        raise invalid(path, "must not contain a null character")
    return value


def name_of(value: object) -> str:
    """What JSON calls a value's type, with its article."""
    return _NAMES[type(value)]


_NAMES = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def _too_deep() -> TollwayError:
    return TollwayError(Reason.INVALID_REQUEST, f"the body is nested more than {MAX_DEPTH} levels deep")


def _malformed(body: bytes, problem: str) -> TollwayError:
    try:
        body.decode()
        orjson.loads(body)
    except UnicodeDecodeError as error:
        return TollwayError(Reason.INVALID_REQUEST, f"the body is not valid UTF-8 at byte {error.start}")
    except orjson.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, column {error.colno}"
    return TollwayError(Reason.INVALID_REQUEST, f"the body is not valid JSON: {problem}")


def _is_deeper_than(limit: int, value: object) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent) if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _children(parent: Any) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent


def _path_of_null(value: object, path: str = "") -> str | None:
    """Where the first string, or key, with a null character stands. Recursive: the depth has been checked."""
    if isinstance(value, str):
        return path if "\0" in value else None
    if isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            if "\0" in key:
                return below.replace("\0", "\\u0000")
            if (found := _path_of_null(item, below)) is not None:
                return found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if (found := _path_of_null(item, f"{path}[{index}]")) is not None:
                return found
    return None
