"""Rendezvous hashing: who is responsible for a key, so that everybody who asks comes to the same answer by itself.

Each candidate draws a number from the key and its own name, and the highest wins. When one leaves, only its own keys
move, each to the one that came second for it; when one joins, it takes its share from everybody. A ring would do the
same with more state: for the few candidates there are here, drawing for each is as fast as searching in one.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log

from services.router.domain.routes import Candidate

_SPAN = 2.0**64


def ranked(key: bytes, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, the one most responsible for the key first. A weight of two draws twice as many keys."""
    return sorted(candidates, key=lambda candidate: _draw(key, candidate), reverse=True)


def _draw(key: bytes, candidate: Candidate) -> tuple[float, str]:
    drawn = int.from_bytes(blake2b(candidate.name.encode(), key=key, digest_size=8).digest(), "big")
    return candidate.deployment.weight / -log((drawn + 0.5) / _SPAN), candidate.name
