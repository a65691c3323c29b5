"""Page tokens: opaque to who holds them, and good only for the question they were given for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from mesh.errors import invalid

_DIGEST = 8
DEFAULT_SIZE = 100
LARGEST_SIZE = 1000


def size(asked: int) -> int:
    """How many a page holds at most. Raises TollwayError INVALID_REQUEST for a negative `page_size`."""
    if asked < 0:
        raise invalid("page_size", "must not be negative")
    return min(asked or DEFAULT_SIZE, LARGEST_SIZE)


def encode_token(question: bytes, place: Sequence[str | int]) -> str:
    """The token for going on after `place` in the answer to `question`."""
    payload = json.dumps(place, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(question, payload) + payload).decode().rstrip("=")


def decode_token(question: bytes, token: str) -> list[str | int]:
    """The place a token names. Raises TollwayError INVALID_REQUEST for one that was not made for this question."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    payload = raw[_DIGEST:]
    # No secret is in it: it keeps apart what belongs to different questions, and what was cut or mistyped.
    if raw[:_DIGEST] != _digest(question, payload):
        raise invalid("page_token", "is not the next_page_token of a page with the same filter")
    answer: list[str | int] = json.loads(payload)
    return answer


def _digest(question: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST, key=hashlib.sha256(question).digest()).digest()
