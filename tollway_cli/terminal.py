"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

_WIDE = 200
"""Columns, where the output goes to a file or another program: nothing is cut or wrapped for a screen it is not on."""


def console() -> Console:
    """Standard output, as wide as the terminal where it is one."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
