"""Text that clients, providers and configurations wrote, as response headers can hold it.

A header is one line of printable ASCII here: a control character would have the whole answer refused, and clients read
other letters each in their own way. Clients give up on lines beyond 8 KiB, and an answer that was paid for must not be
lost to what is said about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

_LONGEST_TEXT = 256
"""Characters of a text; three dots stand for the rest."""
_LONGEST_LIST = 2048
"""Bytes of a list, without its last entry that counts the others."""
_BESIDE_LETTERS = "!\"#$&'()*+-./:;<=>?@[\\]^_`{|}~"
"""What is written as it is, beside letters and digits, wherever a text stands: not `%`, by which others are written."""


def header_text(text: str) -> str:
    """The text, of which what is not printable ASCII is percent-encoded, as is `%`."""
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 3] + "..."
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, _BESIDE_LETTERS + " ,", errors="replace")


def header_list(entries: Sequence[str]) -> str:
    """The entries, with commas between. Blanks and commas in them are percent-encoded, too.

    Where not all of them fit, the last is `and 7 more`, which is no entry: it has blanks.
    """
    written: list[str] = []
    size = 0
    for entry in entries:
        if len(entry) > _LONGEST_LIST:
            break
        text = quote(entry, _BESIDE_LETTERS, errors="replace")
        size += len(text) + len(", ")
        if size > _LONGEST_LIST:
            break
        written.append(text)
    if left := len(entries) - len(written):
        written.append(f"and {left} more")
    return ", ".join(written)


def header_type(content_type: str) -> str:
    """A content type of somebody else's; one that no header can hold says nothing."""
    if content_type.isascii() and content_type.isprintable() and len(content_type) <= _LONGEST_TEXT:
        return content_type
    return "application/octet-stream"
