"""A pytest plugin for the official SDKs' own suites: leaves out what is not run, and asks what can be asked.

It is loaded by name into a suite that is unpacked elsewhere, with this folder on the path.
"""

from __future__ import annotations

import importlib
import os
import sys
from fnmatch import fnmatch
from types import ModuleType
from typing import Any

import pytest
from suites import ASKED, SUITES, Asked  # type: ignore[import-not-found] # it lies beside this, wherever it is run

SUITE = next(suite for suite in SUITES if suite.package == os.environ["TOLLWAY_SDK_SUITE"])


class _Anything(ModuleType):
    """Stands in for a library of recordings: the suite's conftest imports it, and no test that is run here uses it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def _stand_in() -> None:
    for name in ("inline_snapshot", "http_snapshot", "http_snapshot.httpx"):
        sys.modules.setdefault(name, _Anything(name))


def _askable(how: Asked, question: dict[str, Any]) -> dict[str, Any]:
    left_out = how.refused if question.get("stream") else (*how.refused, *how.streamed_alone)
    return {**how.given, **{name: value for name, value in question.items() if name not in left_out}}


def _ask_what_can_be_asked() -> None:
    """The suites ask for everything at once. What the model behind the edge cannot be told is left out, not refused."""
    client = importlib.import_module(f"{SUITE.package}._base_client").BaseClient
    build = client._build_request

    def build_request(self: Any, options: Any, **more: Any) -> Any:
        if options.method == "post":
            options.headers = {**(options.headers or {}), "x-tollway-drop-unsupported": "1"}
            if options.url in ASKED:
                options.json_data = _askable(ASKED[options.url], options.json_data or {})
        return build(self, options, **more)

    client._build_request = build_request


if SUITE.package == "anthropic":
    _stand_in()
_ask_what_can_be_asked()


def pytest_addoption(parser: pytest.Parser) -> None:
    if SUITE.package == "anthropic":
        parser.addoption("--http-record", action="store_true", help="of the library of recordings: never")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _reason(item) is not None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _reason(item) is None]


def _reason(item: pytest.Item) -> str | None:
    return next((why for pattern, why in SUITE.left_out.items() if fnmatch(item.nodeid, f"*{pattern}")), None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for pattern, why in SUITE.left_out.items():
        terminalreporter.write_line(f"left out: {pattern} ({why})")
