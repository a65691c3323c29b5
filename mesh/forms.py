"""Forms, as `multipart/form-data` (RFC 7578, with the names of fields and files as browsers and SDKs write them)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([\w-]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_ESCAPED = re.compile(r"\\([\"\\])")
_LONGEST_HEAD = 8 * 2**10
MOST_FIELDS = 1024


class BadForm(ValueError):
    """The body is no form. The text says what is wrong, and goes on from "the form"."""


class Field(NamedTuple):
    """A field. With a file, `filename` is its name; `content_type` may be empty."""

    name: str
    value: bytes
    filename: str = ""
    content_type: str = ""


def read_form(content_type: str, body: bytes) -> list[Field]:
    """The fields of a body with that content type, in order. Raises BadForm for one that is not whole, or is none."""
    return list(_fields(_boundary(content_type), body))


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadForm("has no boundary in its content-type")
    return (found[1] or found[2]).encode()


def _fields(boundary: bytes, body: bytes) -> Iterator[Field]:
    delimiter = b"\r\n--" + boundary
    position = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _after(delimiter, body, 0)
    for _ in range(MOST_FIELDS + 1):
        if body.startswith(b"--", position):
            return
        begin = _end_of_line(body, position)
        # A part without headers begins with an empty line: it has no name, which is told below.
        end_of_head = body.find(b"\r\n\r\n", begin - 2, begin + _LONGEST_HEAD)
        if end_of_head < 0:
            raise BadForm("has a field whose headers do not end")
        begin_of_value = end_of_head + 4
        position = _after(delimiter, body, begin_of_value)
        yield _field(body[begin:end_of_head], body[begin_of_value : position - len(delimiter)])
    raise BadForm(f"has more than {MOST_FIELDS} fields")


def _after(delimiter: bytes, body: bytes, position: int) -> int:
    found = body.find(delimiter, position)
    if found < 0:
        raise BadForm("is not whole: the boundary that ends it is missing")
    return found + len(delimiter)


def _end_of_line(body: bytes, position: int) -> int:
    end = body.find(b"\r\n", position)
    if end < 0 or body[position:end].strip():
        raise BadForm("has something behind a boundary")
    return end + 2


def _field(head: bytes, value: bytes) -> Field:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise BadForm("has a field whose headers are not UTF-8") from None
    headers = {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    kind, _, rest = headers.get("content-disposition", "").partition(";")
    parameters = {name.lower(): _plain(quoted, bare) for name, quoted, bare in _PARAMETER.findall(f";{rest}")}
    if kind.strip().lower() != "form-data" or not parameters.get("name"):
        raise BadForm("has a field without a name")
    filename = parameters.get("filename", "")
    if "filename*" in parameters:
        filename = unquote(parameters["filename*"].rpartition("'")[2])
    return Field(parameters["name"], value, filename, headers.get("content-type", ""))


def _plain(quoted: str, bare: str) -> str:
    return _ESCAPED.sub(r"\1", quoted) if quoted else bare
