"""Whose key it is.

A key is looked up by its SHA-256, so that neither the keyring nor the time that looking takes tells anything about the
keys in it: whoever presents a key cannot choose how its digest begins. Hashing one takes less than a microsecond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mesh.errors import Reason, TollwayError
from services.router.domain.principal import Principal

_HOW = "send one as `authorization: Bearer <key>`"


@dataclass(frozen=True, slots=True)
class Key:
    """A key by the SHA-256 of it, and who has it until when (Unix time; None: for ever)."""

    digest: bytes
    principal: Principal
    expires: float | None = None


class Keyring:
    """The keys that are known here."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.digest: key for key in keys}

    def identify(self, credentials: str, now: float) -> Principal:
        """Who shows these credentials, which are what HTTP has in `authorization`: `Bearer …`.

        Raises UNAUTHENTICATED, with a sentence that never repeats any of them.
        """
        if not credentials:
            raise _refused(f"No API key came with this call: {_HOW}.")
        scheme, _, presented = credentials.partition(" ")
        presented = presented.strip()
        if scheme.lower() != "bearer" or not presented or " " in presented:
            raise _refused(f"What came with this call is not one API key: {_HOW}.")
        key = self._keys.get(hashlib.sha256(presented.encode("utf-8", "replace")).digest())
        if key is None:
            raise _refused("This API key is not known here: check that all of it was sent, and to the right gateway.")
        if key.expires is not None and now >= key.expires:
            raise _refused(f"The API key {key.principal.key} expired at {_time(key.expires)}: ask for a new one.")
        return key.principal


def _refused(message: str) -> TollwayError:
    return TollwayError(Reason.UNAUTHENTICATED, message)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
