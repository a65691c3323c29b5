"""Log lines: JSON for machines, `key=value` for people at a terminal, each with the trace it belongs to.

`structlog.get_logger()` and the standard library's loggers (aiohttp, grpc, sqlalchemy) end in the same place. structlog
takes 50 ms to import beside the rest, so `configure_logging` is for processes, not for libraries.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.stdlib import ProcessorFormatter

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


def configure_logging(level: str, stream: TextIO | None = None, secrets: Iterable[str] = ()) -> None:
    """Sends every log line of at least that level (`debug`, `info`, `warning`, `error`) to the stream, else to stderr.

    `secrets` are values that must not show in any line, whatever it is. A second call replaces the first.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace_id,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.set_name(_HANDLER)
    handler.setFormatter(_formatter(shared, stream, secrets))
    _install(handler, number)


def _formatter(shared: list[Any], stream: TextIO, secrets: Iterable[str]) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _redact(redactor(secrets)),
            _line_renderer() if stream.isatty() else _render_json,
        ],
    )


def _line_renderer() -> structlog.dev.ConsoleRenderer:
    colors = not os.environ.get("NO_COLOR")
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, pad_level=False, exception_formatter=plain)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)


def _add_trace_id(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = current()
    if context is not None:
        event.setdefault("trace_id", context.trace_id)
    return event


def _redact(redact: Callable[[Any], Any]) -> Callable[..., MutableMapping[str, Any]]:
    def process(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        safe: MutableMapping[str, Any] = redact(dict(event))
        return safe

    return process


def _render_json(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
