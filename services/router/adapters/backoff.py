"""How long to wait before knocking again at a service that did not answer."""

from __future__ import annotations

import random

FIRST = 0.25
CAP = 15.0


def wait_after(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling up to CAP, with jitter that spreads many callers."""
    return min(FIRST * 2.0 ** (min(failures, 30) - 1), CAP) * random.uniform(0.75, 1.0)
