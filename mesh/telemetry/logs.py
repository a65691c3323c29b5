"""Log lines: JSON for machines, `key=value` for people at a terminal, each with the trace it belongs to.

Everything is logged with the standard library, here as in the libraries (aiohttp, grpc, sqlalchemy), and ends in the
same place. What a line says beside its words is given as `extra`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from mesh.telemetry.redaction import redactor
from mesh.tracing import current

_QUIET = {
    "aiohttp.access": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}
"""Loggers that say less than the others: they have a line for each request or statement."""

_HANDLER = "tollway"
_OF_EVERY_RECORD = {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "message", "asctime", "taskName"}
_COLORS = {"debug": "\x1b[32m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_BELOW = ("exception", "stack")
"""What takes lines of its own at a terminal."""

Event = dict[str, Any]


def configure_logging(level: str, stream: TextIO | None = None, secrets: Iterable[str] = ()) -> None:
    """Sends every log line of at least that level (`debug`, `info`, `warning`, `error`) to the stream, else to stderr.

    `secrets` are values that must not show in any line, whatever it is. A second call replaces the first.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.set_name(_HANDLER)
    handler.setFormatter(_Formatter(_for_people if stream.isatty() else _for_machines, secrets))
    _install(handler, number)


class _Formatter(logging.Formatter):
    def __init__(self, render: Callable[[Event], str], secrets: Iterable[str]) -> None:
        super().__init__()
        self._render, self._redact = render, redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        event: Event = {
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **{name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD},
        }
        context = current()
        if context is not None:
            event.setdefault("trace_id", context.trace_id)
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        return self._render(self._redact(event))


def _for_machines(event: Event) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _for_people(event: Event) -> str:
    colored = not os.environ.get("NO_COLOR")

    def paint(text: str, color: str) -> str:
        return f"{color}{text}{_PLAIN}" if colored else text

    timestamp, level, words, logger = (event.pop(name) for name in ("timestamp", "level", "event", "logger"))
    below = [event.pop(name) for name in _BELOW if name in event]
    said = (f"{name}={_shown(value)}" for name, value in event.items())
    heading = f"[{paint(level, _COLORS.get(level, ''))}] {paint(words, _BOLD)} [{logger}]"
    return "\n".join([" ".join([paint(timestamp, _DIM), heading, *said]), *below])


def _shown(value: Any) -> str:
    """A value that cannot be taken for two, or for none."""
    return value if isinstance(value, str) and value and not any(map(str.isspace, value)) else repr(value)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)
