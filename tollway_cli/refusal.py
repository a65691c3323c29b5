"""How the command line declines: one sentence that says what to do, on standard error, and exit status 2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import typer


def refuse(message: str) -> NoReturn:
    sys.stderr.write(f"tollway: {message}\n")
    raise SystemExit(2)


def refuse_before(command: str, context: typer.Context) -> None:
    """Refuses options that were typed before a command, which they would not reach."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            refuse(f"{parameter.opts[0]} stands before {command}, which does not see it there: put it behind.")
