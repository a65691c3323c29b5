"""The bodies of errors, which may be anything: JSON of some shape, a proxy's page, a sentence."""

from __future__ import annotations

import re
from typing import Any

import orjson

_TITLE = re.compile(rb"<title>([^<]*)</title>", re.IGNORECASE)
_LONGEST = 1000
"""Characters of a sentence that are passed on."""


def read_body(body: bytes) -> Any:
    """The JSON in a body. Where there is none, an object whose `message` is what it says, or the title of the page."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": _prose(body)}


def text_of(value: Any) -> str:
    """A value as a word to show: a number counts, an object says nothing."""
    return value if isinstance(value, str) else "" if value is None or isinstance(value, (dict, list)) else str(value)


def _prose(body: bytes) -> str:
    if body.lstrip().startswith(b"<"):
        title = _TITLE.search(body)
        body = title[1] if title else b""
    return body.decode("utf-8", "replace").strip()[:_LONGEST]
