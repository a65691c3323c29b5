"""How the command line declines: one sentence that says what to do, on standard error, and exit status 2."""

from __future__ import annotations

import sys
from typing import NoReturn


def refuse(message: str) -> NoReturn:
    sys.stderr.write(f"tollway: {message}\n")
    raise SystemExit(2)
