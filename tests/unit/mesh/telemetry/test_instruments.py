"""Instruments are those of the conventions, and whoever measures uses one that is declared."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics, http_metrics, rpc_metrics

from mesh.telemetry.instruments import INSTRUMENTS

ROOT = Path(__file__).parents[4]
SOURCES = [path for room in ("mesh", "services", "gateway_http", "tollway_cli") for path in (ROOT / room).rglob("*.py")]


def measured(tree: ast.AST) -> Iterator[str]:
    """The names of instruments in calls such as `metrics.count("tollway.attempts", …)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if function in ("count", "record", "gauge") and isinstance(name, str) and "." in name:
                yield name


def test_whatever_is_measured_anywhere_is_declared() -> None:
    found = {name: path for path in SOURCES for name in measured(ast.parse(path.read_text()))}
    assert {name: str(path.relative_to(ROOT)) for name, path in found.items() if name not in INSTRUMENTS} == {}
    assert found


def test_nobody_else_knows_opentelemetry() -> None:
    elsewhere = [path for path in SOURCES if "telemetry" not in path.parts and _imports_opentelemetry(path)]
    assert elsewhere == []


def _imports_opentelemetry(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(module.split(".")[0] == "opentelemetry" for module in modules)


class _RecordingMeter(NoOpMeter):
    """Notes the units that the conventions' own package declares its instruments with."""

    def __init__(self) -> None:
        super().__init__("test")
        self.units: dict[str, str] = {}

    def create_histogram(self, name: str, unit: str = "", description: str = "", **kwargs: object) -> None:  # type: ignore[override]  # nothing uses what it would return
        self.units[name] = unit

    create_up_down_counter = create_histogram  # type: ignore[assignment]  # as above


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if not name.startswith("tollway.")])
def test_a_name_of_the_conventions_has_their_unit(name: str) -> None:
    meter = _RecordingMeter()
    for module in (gen_ai_metrics, rpc_metrics, http_metrics):
        create = getattr(module, f"create_{name.replace('.', '_')}", None)
        if create is not None:
            create(meter)
    assert meter.units == {name: INSTRUMENTS[name].unit}


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("gen_ai.client.operation.duration", [0.01 * 2**power for power in range(14)]),
        ("gen_ai.client.token.usage", [4**power for power in range(14)]),
        ("gen_ai.server.time_to_first_token",
         [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]),
        ("http.server.request.duration", [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]),
        ("rpc.server.call.duration", [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]),
    ],
)  # fmt: skip
def test_buckets_are_those_of_the_conventions(name: str, bounds: list[float]) -> None:
    assert INSTRUMENTS[name].bounds == pytest.approx(tuple(bounds))


def test_every_histogram_has_rising_bounds_and_nothing_else_has_any() -> None:
    for instrument in INSTRUMENTS.values():
        assert (instrument.kind == "histogram") == bool(instrument.bounds)
        assert list(instrument.bounds) == sorted(set(instrument.bounds))
