"""Metadata as a wire would take it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import grpc

from mesh.channels.inprocess.rpc import Metadata

_KEY = re.compile(r"[0-9a-z_.-]+")
_good_keys: set[str] = set()
_GOOD_KEYS_LIMIT = 256


class Metadatum(NamedTuple):
    """One entry, as servicers read it."""

    key: str
    value: str | bytes


def checked(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """The metadata, if HTTP/2 could carry it. Raises grpc.aio.InternalError naming the entry that it could not."""
    entries = tuple([(key, value) for key, value in metadata])
    for key, value in entries:
        if key not in _good_keys:
            _check_key(key)
        if isinstance(value, str) and not key.endswith("-bin"):
            if not (value.isascii() and value.isprintable()):
                raise grpc.aio.InternalError(f"The metadata value of {key!r} is not printable ASCII.")
        elif not isinstance(value, bytes) or not key.endswith("-bin"):
            raise grpc.aio.InternalError(f"Metadata is text, or bytes under a key that ends in -bin, unlike {key!r}.")
    return entries


def _check_key(key: str) -> None:
    if _KEY.fullmatch(key) is None:
        raise grpc.aio.InternalError(f"The metadata key {key!r} is not lower-case letters, digits and _.- alone.")
    if len(_good_keys) < _GOOD_KEYS_LIMIT:  # keys are few, unless somebody makes them up
        _good_keys.add(key)
