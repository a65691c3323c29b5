"""Every instrument there is: what is measured, in which unit, and in which buckets.

The GenAI names are those of the last release of the OpenTelemetry semantic conventions that holds them (1.41), which
is what dashboards and other gateways know: `gen_ai.client.operation.duration` and `gen_ai.client.token.usage`. The
generation that replaces them (`gen_ai.client.inference.*`) lives in a repository of its own without a release so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Bounds = tuple[float, ...]

_CALL: Bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_GENERATION: Bounds = tuple(round(0.01 * 2**power, 2) for power in range(14))
_TOKENS: Bounds = tuple(4**power for power in range(14))
_FIRST_TOKEN: Bounds = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_PER_TOKEN: Bounds = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that is measured. `bounds` are a histogram's upper bucket bounds; `updown` counts up and down."""

    name: str
    kind: Literal["counter", "updown", "gauge", "histogram"]
    unit: str
    description: str
    bounds: Bounds = ()


def _seconds(name: str, bounds: Bounds, description: str) -> Instrument:
    return Instrument(name, "histogram", "s", description, bounds)


_ALL = (
    _seconds("http.server.request.duration", _CALL, "Duration of HTTP requests to the edge."),
    Instrument("http.server.active_requests", "updown", "{request}", "HTTP requests that the edge is answering."),
    _seconds("http.client.request.duration", _CALL, "Duration of HTTP calls to providers."),
    _seconds("rpc.server.call.duration", _CALL, "Duration of calls to a gRPC service."),
    _seconds("rpc.client.call.duration", _CALL, "Duration of gRPC calls that crossed a wire, as the caller saw them."),
    _seconds("gen_ai.client.operation.duration", _GENERATION, "Duration of an operation with all its attempts."),
    _seconds("gen_ai.client.operation.time_to_first_chunk", _GENERATION, "From the request to its first chunk."),
    _seconds("gen_ai.client.operation.time_per_output_chunk", _GENERATION, "From one chunk to the next."),
    Instrument("gen_ai.client.token.usage", "histogram", "{token}", "Billable tokens of an operation.", _TOKENS),
    _seconds("gen_ai.server.request.duration", _GENERATION, "Duration of requests for a model, as clients saw them."),
    _seconds("gen_ai.server.time_to_first_token", _FIRST_TOKEN, "From a request to the first token of its answer."),
    _seconds("gen_ai.server.time_per_output_token", _PER_TOKEN, "Per token after the first."),
    Instrument("tollway.attempts", "counter", "{attempt}", "Calls that left for a provider, by outcome."),
    Instrument(
        "tollway.breaker.changes",
        "counter",
        "{change}",
        "Deployments left alone from now on, or asked again.",
    ),
    Instrument("tollway.cost.nanos", "counter", "{nano-USD}", "What settled attempts cost, in nano-USD."),
    Instrument("tollway.journal.pending", "gauge", "{attempt}", "Attempts that the ledger does not have yet."),
    Instrument("tollway.journal.dead_letters", "gauge", "{attempt}", "Attempts that the ledger refused."),
    Instrument("tollway.ledger.rows", "counter", "{row}", "Attempts that the ledger was sent, by what it did."),
    Instrument("tollway.budget.thresholds", "counter", "{threshold}", "Thresholds of budgets that were reached."),
    Instrument(
        "tollway.ledger.unpriced",
        "counter",
        "{attempt}",
        "Attempts that were booked without a cost, because no price is known.",
    ),
    Instrument("tollway.idempotency.repeats", "counter", "{question}", "Questions sent again, by what they got."),
    Instrument("tollway.cache.lookups", "counter", "{question}", "Questions the response cache was asked, by outcome."),
    Instrument("tollway.state.lost", "gauge", "1", "Whether the state that replicas share is out of reach."),
    Instrument("tollway.budgets.lost", "gauge", "1", "Whether the ledger is out of reach for leases of budgets."),
    Instrument("tollway.ledger.conflicts", "gauge", "{attempt}", "Contents kept apart from the row under their id."),
    Instrument("tollway.telemetry.spans", "counter", "{span}", "Spans given to an exporter, by whether they arrived."),
)

INSTRUMENTS: Mapping[str, Instrument] = {instrument.name: instrument for instrument in _ALL}
"""By name."""

OPEN_LABELS = frozenset({"gen_ai.request.model", "gen_ai.response.model", "model"})
"""Labels whose values come from outside, and without number; code or configuration knows those of all others."""
