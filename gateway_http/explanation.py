"""Where a question would go, in JSON: what the header `x-tollway-explain` and `tollway explain --json` show."""

from __future__ import annotations

from typing import Any

from tollway.router.v1.router_pb2 import ExplainRouteResponse, PlannedCandidate, SkippedCandidate


def explanation_fields(model: str, explanation: ExplainRouteResponse) -> dict[str, Any]:
    """The explanation for a question that asks for `model`. `refusal` is null where somebody would be asked."""
    return {
        "object": "route.explanation",
        "model": model,
        "route": explanation.route,
        "strategy": explanation.strategy,
        "needs": list(explanation.needs),
        "input_tokens": explanation.input_tokens,
        "candidates": [_candidate(each) for each in explanation.candidates],
        "skipped": [_candidate(each) for each in explanation.skipped],
        "rules": [
            {"name": rule.name, "matched": rule.matched, "effect": rule.effect or None, "error": rule.error or None}
            for rule in explanation.rules
        ],
        "refusal": explanation.refusal or None,
    }


def _candidate(candidate: PlannedCandidate | SkippedCandidate) -> dict[str, str]:
    return {"deployment": candidate.deployment, "stands_for": candidate.stands_for, "reason": candidate.reason}
