"""Showing a key to the services that the command line asks, and saying what they said."""

from __future__ import annotations

from mesh.credentials import metadata_of
from mesh.errors import Reason, TollwayError
from tollway_cli.refusal import refuse


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    """What a call carries that shows the key; one that cannot be one ends the process."""
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        refuse("--key (or TOLLWAY_KEY) is no key: it has white space in it, or more than ASCII")
    return metadata_of(key)


def sentence(error: TollwayError) -> str:
    """What went wrong, and how a key is shown where that is what went wrong."""
    hint = " Here, --key or TOLLWAY_KEY says which." if error.reason is Reason.UNAUTHENTICATED else ""
    return error.message + hint
