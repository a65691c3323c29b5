"""Log lines: who writes them, how they look, and what never shows."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from typing import Any

import pytest

from mesh.telemetry.logs import configure_logging
from mesh.tracing import TraceContext, set_current

HERE = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_for_machines_is_one_json_object(stream: io.StringIO) -> None:
    configure_logging("info", stream)
    said = {"outcome": "ok", "tokens": 7, "late": None, "odd": object}
    logging.getLogger("tollway.router").info("attempt ended", extra=said)
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "event": "attempt ended",
        "level": "info",
        "logger": "tollway.router",
        "outcome": "ok",
        "tokens": 7,
        "late": None,
        "odd": "<class 'object'>",
    }


def test_a_line_at_a_terminal_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging("info", stream)
    said = {"outcome": "cut", "tokens": 7, "why": "two words"}
    logging.getLogger("tollway.router").warning("attempt ended", extra=said)
    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"\S+Z \[warning\] attempt ended \[tollway\.router\] outcome=cut tokens=7 why='two words'", line
    )


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logging("info", stream)
    logging.getLogger("x").info("hello")
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize("name", ["aiohttp.server", "grpc", "sqlalchemy.pool", "tollway.x"])
def test_the_standard_librarys_loggers_end_in_the_same_place(stream: io.StringIO, name: str) -> None:
    configure_logging("info", stream)
    logging.getLogger(name).error("bad %s of %d", "thing", 2, extra={"peer": "1.2.3.4"})
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["peer"]) == ("bad thing of 2", "error", name, "1.2.3.4")


def test_a_line_says_which_trace_it_belongs_to(stream: io.StringIO) -> None:
    configure_logging("info", stream)
    logging.getLogger("a").info("outside")
    set_current(HERE)
    logging.getLogger("a").info("inside")
    logging.getLogger("a").info("of another", extra={"trace_id": "f" * 32})
    assert [line.get("trace_id") for line in lines(stream)] == [None, HERE.trace_id, "f" * 32]


def test_an_exception_is_told_with_where_it_came_from(stream: io.StringIO) -> None:
    configure_logging("info", stream)
    try:
        raise ValueError("this very one")
    except ValueError:
        logging.getLogger("a").exception("it broke", stack_info=True)
    (line,) = lines(stream)
    assert line["event"] == "it broke"
    assert "ValueError: this very one" in line["exception"]
    assert "test_logs.py" in line["exception"]
    assert "test_logs.py" in line["stack"]


def test_an_exception_at_a_terminal_has_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging("info", stream)
    try:
        raise ValueError("this very one")
    except ValueError:
        logging.getLogger("a").exception("it broke")
    first, *below = stream.getvalue().splitlines()
    assert first.endswith("[error] it broke [a]")
    assert below[0].startswith("Traceback")
    assert below[-1] == "ValueError: this very one"


def test_only_lines_of_the_level_are_told(stream: io.StringIO) -> None:
    configure_logging("warning", stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("a"), name)(name)
    assert [line["event"] for line in lines(stream)] == ["warning", "error"]


def test_libraries_with_a_line_for_every_request_say_less(stream: io.StringIO) -> None:
    configure_logging("debug", stream)
    for name in ("aiohttp.access", "asyncio", "sqlalchemy.engine"):
        logging.getLogger(name).info("GET /")
    logging.getLogger("a").debug("b")
    assert [line["logger"] for line in lines(stream)] == ["a"]


def test_warnings_are_lines_too(stream: io.StringIO) -> None:
    configure_logging("info", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "old thing" in line["event"]


def test_configuring_again_replaces_what_was(stream: io.StringIO) -> None:
    first = io.StringIO()
    configure_logging("error", first)
    configure_logging("info", stream)
    logging.getLogger("a").info("once")
    assert first.getvalue() == ""
    assert len(lines(stream)) == 1


def test_without_a_stream_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logging.getLogger("a").info("here")
    assert json.loads(capsys.readouterr().err)["event"] == "here"


def test_a_level_that_is_none_is_an_error() -> None:
    with pytest.raises(KeyError, match="LOUD"):
        configure_logging("loud", io.StringIO())


@pytest.mark.parametrize("terminal", [False, True])
def test_no_secret_shows_anywhere_in_a_line(terminal: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    configure_logging("info", stream, secrets=["hunter22", ""])
    log = logging.getLogger("a")
    said = {"api_key": "visible-1", "headers": {"Authorization": "visible-2", "accept": "kept-1"}}
    log.info("key hunter22 was used", extra=said)
    logging.getLogger("b").info("sent %s", {"x-api-key": "visible-3"})
    try:
        raise ValueError("Authorization: Bearer visible-4 and hunter22")
    except ValueError:
        log.exception("it broke", extra={"url": "postgresql://user:visible-5@host/db"})
    text = stream.getvalue()
    assert "visible" not in text
    assert "hunter22" not in text
    assert text.count("[redacted]") >= 6
    assert "kept-1" in text
    assert "@host/db" in text
