"""Every fault that the sim can show × streamed and whole × alone and with others × one process and four.

Each cell comes to the whole answer or to a clean error, in bounded time; and the provider's calls, the ledger's rows,
the breaker and the trace all tell the same story of how.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.errors import TABLE
from services.providers.adapters.sim.behaviour import CATALOGUE
from tests.chaos.faults import CELLS, FAULTS, NO_FAULTS, Cell, Expected, Provider, Stands, Try, expected
from tests.chaos.matrix import PARENT, Matrix, Outcome, Row, ran
from tests.e2e.collector import Seen, tree
from tests.e2e.processes import TOPOLOGIES
from tollway.router.v1.router_pb2 import DeploymentState

BUSY = 5.0
"""Seconds that a busy machine may take beside what a cell has to take."""
ROUTER = "tollway.router.v1.RouterService"
PROVIDERS = "tollway.providers.v1.ProviderService"


@pytest.fixture(scope="module", params=list(TOPOLOGIES))
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with ran(request.param, tmp_path_factory.mktemp("matrix")) as matrix:
        yield matrix


def test_no_fault_of_the_sims_is_left_out() -> None:
    kinds = {model.name.partition(":")[0] for model in CATALOGUE}
    assert kinds - NO_FAULTS <= {fault.kind for fault in FAULTS}


def test_every_fault_is_shown_in_every_way() -> None:
    for fault in FAULTS:
        ways = {(cell.streamed, cell.several) for cell in CELLS if cell.fault == fault}
        assert len(ways) == 4
    assert len({cell.name for cell in CELLS}) == len({cell.faulty for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_fault_ends_in_the_whole_answer_or_a_clean_error(matrix: Matrix, cell: Cell) -> None:
    wanted, outcome, rows = expected(cell), matrix.outcomes[cell.name], matrix.rows[cell.name]
    assert_it_ends_in_time(wanted, outcome)
    if wanted.reason is None:
        assert_the_answer_is_whole(cell, wanted, outcome, matrix.answer)
    elif wanted.before_content:
        assert_the_answer_ends_in_one_error(wanted, outcome, matrix.answer)
    else:
        assert_it_is_an_error_alone(wanted, outcome)
    assert [row_of(row) for row in rows] == [expected_row(cell, each) for each in wanted.tries]
    assert_every_call_has_its_row(matrix, cell, rows)
    assert_the_breaker_knows(matrix, cell, wanted)
    assert_the_trace_tells_it(matrix, cell, wanted)


def test_nobody_was_called_that_the_ledger_does_not_know_of(matrix: Matrix) -> None:
    booked = [row.attempt_id for rows in matrix.rows.values() for row in rows]
    assert len(booked) == len(set(booked))
    assert len(matrix.calls) == len(set(matrix.calls))
    assert set(matrix.calls) <= set(booked)


# -- what the client gets ----------------------------------------------------------------------------------------------


def assert_it_ends_in_time(wanted: Expected, outcome: Outcome) -> None:
    assert not outcome.hung
    assert outcome.seconds <= wanted.seconds + BUSY


def assert_the_answer_is_whole(cell: Cell, wanted: Expected, outcome: Outcome, answer: str) -> None:
    assert (outcome.status, outcome.errors) == (200, [])
    assert outcome.text == answer
    assert outcome.finishes == ["stop"]
    assert outcome.headers["x-tollway-attempts"] == str(wanted.before_content)
    if cell.streamed:
        assert outcome.done
        assert outcome.receipt["attempts"] == len(wanted.tries)
        assert outcome.receipt["deployment"] == wanted.tries[-1].deployment
        assert tuple(outcome.receipt.get("continued", ())) == wanted.continued
    else:
        assert outcome.headers["x-tollway-deployment"] == wanted.tries[-1].deployment


def assert_the_answer_ends_in_one_error(wanted: Expected, outcome: Outcome, answer: str) -> None:
    assert outcome.status == 200
    assert outcome.headers["x-tollway-attempts"] == str(wanted.before_content)
    assert outcome.text
    assert answer.startswith(outcome.text)
    assert (outcome.finishes, outcome.done, outcome.receipt) == ([], False, {})
    assert wanted.reason is not None
    assert [error["code"] for error in outcome.errors] == [TABLE[wanted.reason].openai_code]
    assert "error" in outcome.events[-1]


def assert_it_is_an_error_alone(wanted: Expected, outcome: Outcome) -> None:
    assert outcome.status == wanted.status >= 400
    assert outcome.events == []
    assert wanted.reason is not None
    assert [error["code"] for error in outcome.errors] == [TABLE[wanted.reason].openai_code]
    assert ("x-should-retry" in outcome.headers) == (not TABLE[wanted.reason].repeatable)
    assert outcome.headers["x-tollway-attempts"] == str(len(wanted.tries))
    assert outcome.headers["x-tollway-deployment"] == wanted.tries[-1].deployment


# -- what the provider and the ledger saw ------------------------------------------------------------------------------


def row_of(row: Row) -> tuple[str, ...]:
    return row.deployment, row.kind, row.state, row.status, row.error_reason, row.provenance


def expected_row(cell: Cell, attempt: Try) -> tuple[str, ...]:
    kind = "continuation" if attempt.continues else "call"
    if attempt.reason is None:
        provenance = "provider_reported"
        if cell.fault.kind == "no-usage":
            provenance = "stream_counted" if cell.streamed else "estimated"
        return attempt.deployment, kind, "settled", "ok", "", provenance
    state = "settled" if cell.shown.heard else "unsettled"
    begun = cell.streamed and cell.fault.after_content
    status, provenance = ("interrupted", "stream_counted") if begun else ("failed", "unsettled")
    return attempt.deployment, kind, state, status, attempt.reason, provenance


def assert_every_call_has_its_row(matrix: Matrix, cell: Cell, rows: list[Row]) -> None:
    seen = [row for row in rows if row.attempt_id in set(matrix.calls)]
    assert {row.state for row in rows if row not in seen} <= {"unsettled"}
    reaches = [row for row in rows if not row.deployment.startswith(Provider.NOBODY)]
    assert seen == reaches


# -- what the router remembers, and tells ------------------------------------------------------------------------------


def assert_the_breaker_knows(matrix: Matrix, cell: Cell, wanted: Expected) -> None:
    faulty = matrix.standings[cell.faulty]
    assert (faulty.failures, faulty.calls, faulty.in_flight) == (wanted.failures, wanted.calls, 0)
    state = DeploymentState.Name(faulty.state).removeprefix("DEPLOYMENT_STATE_")
    assert wanted.stands is Stands.EITHER or state == wanted.stands, faulty.reason
    if cell.several:
        healthy = matrix.standings[cell.healthy]
        assert (healthy.failures, healthy.calls) == (0, int(wanted.tries[-1].deployment == cell.healthy))


def assert_the_trace_tells_it(matrix: Matrix, cell: Cell, wanted: Expected) -> None:
    lines = expected_tree(matrix.topology, cell, wanted)
    spans = matrix.spans(cell, len(lines))
    assert tree(spans) == lines
    (edge,) = [span for span in spans if span.name == "POST /v1/chat/completions"]
    assert edge.parent_id == PARENT
    (operation,) = [span for span in spans if span.name == f"chat {cell.name}"]
    assert error_type(operation) == (wanted.reason or "")
    attempts = sorted((span for span in spans if span.name.startswith("attempt ")), key=lambda span: span.name)
    assert [error_type(span) for span in attempts] == [each.reason or "" for each in wanted.tries]
    assert [span.attributes["tollway.attempt_id"] for span in attempts] == [
        row.attempt_id for row in matrix.rows[cell.name]
    ]


def error_type(span: Seen) -> str:
    assert span.failed == ("error.type" in span.attributes)
    return str(span.attributes.get("error.type", ""))


def expected_tree(topology: str, cell: Cell, wanted: Expected) -> list[str]:
    """CLIENT and SERVER where a wire is crossed, SERVER alone in one process; nothing that is not below the edge."""
    sides = ("client", "server") if topology == "four processes" else ("server",)
    lines = ["server POST /v1/chat/completions"]

    def rpc(name: str, depth: int) -> int:
        lines.extend(f"{'  ' * (depth + place)}{side} {name}" for place, side in enumerate(sides))
        return depth + len(sides)

    depth = rpc(f"{ROUTER}/{'Stream' if cell.streamed else 'Create'}ChatCompletion", 1)
    lines.append(f"{'  ' * depth}client chat {cell.name}")
    for number, each in enumerate(wanted.tries, 1):
        lines.append(f"{'  ' * (depth + 1)}internal attempt {number} {each.deployment}")
        inner = rpc(f"{PROVIDERS}/{'Stream' if cell.streamed else 'Create'}Completion", depth + 2)
        lines.append(f"{'  ' * inner}client POST")
    return lines
