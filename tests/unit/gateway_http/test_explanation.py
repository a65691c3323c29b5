from __future__ import annotations

import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import QUESTION, Edge
from tollway.router.v1 import router_pb2 as rpc

EXPLAIN = {"x-tollway-explain": "1"}
EXPLANATION = rpc.ExplainRouteResponse(
    route="gpt-*",
    strategy="latency",
    candidates=[rpc.PlannedCandidate(deployment="a/m", stands_for="gpt-4o", reason="the only one")],
    skipped=[rpc.SkippedCandidate(deployment="b/m", stands_for="gpt-4o", reason="cannot do vision")],
    rules=[
        rpc.RuleReport(name="calm", matched=True, effect="sets temperature to 0"),
        rpc.RuleReport(name="eu", matched=True, effect="chooses eu", error="nobody is left"),
        rpc.RuleReport(name="night"),
    ],
    needs=["vision"],
    input_tokens=12,
)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_wants_an_explanation_is_answered_with_it_and_asked_of_nobody(
    edge: Edge, stream: bool
) -> None:
    edge.router.explanation = EXPLANATION

    headers = {**EXPLAIN, "x-tollway-tags": "ci", "x-tollway-session": "s-1", "authorization": "Bearer k"}
    reply = await edge.post({**QUESTION, "models": ["b"], "stream": stream}, headers)

    (request,) = edge.router.requests
    assert isinstance(request, rpc.ExplainRouteRequest)
    assert (request.chat.model, list(request.tags), request.streamed) == ("gpt-4o", ["ci"], stream)
    assert request.preferences == rpc.Preferences(models=["b"], session="s-1")
    assert edge.router.metadata[0]["authorization"] == "Bearer k"
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.headers["x-tollway-trace-id"] == edge.tracer.spans[0].context.trace_id
    assert reply.json == {
        "object": "route.explanation",
        "model": "gpt-4o",
        "route": "gpt-*",
        "strategy": "latency",
        "needs": ["vision"],
        "input_tokens": 12,
        "candidates": [{"deployment": "a/m", "stands_for": "gpt-4o", "reason": "the only one"}],
        "skipped": [{"deployment": "b/m", "stands_for": "gpt-4o", "reason": "cannot do vision"}],
        "rules": [
            {"name": "calm", "matched": True, "effect": "sets temperature to 0", "error": None},
            {"name": "eu", "matched": True, "effect": "chooses eu", "error": "nobody is left"},
            {"name": "night", "matched": False, "effect": None, "error": None},
        ],
        "refusal": None,
    }


async def test_what_would_be_refused_is_told_and_no_error(edge: Edge) -> None:
    edge.router.explanation = rpc.ExplainRouteResponse(route="gpt", refusal="Not at night.")

    reply = await edge.post(headers=EXPLAIN)

    assert (reply.status, reply.json["refusal"], reply.json["candidates"]) == (200, "Not at night.", [])


async def test_an_unknown_model_is_an_error_as_ever(edge: Edge) -> None:
    edge.router.explanation = TollwayError(Reason.MODEL_NOT_FOUND, "no such model")

    reply = await edge.post(headers=EXPLAIN)

    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_a_wish_that_cannot_be_read_is_refused(edge: Edge) -> None:
    reply = await edge.post(headers={"x-tollway-explain": "maybe"})

    assert (reply.status, reply.error["param"]) == (400, "x-tollway-explain")
    assert edge.router.requests == []


async def test_models_and_the_session_of_a_question_go_to_the_router(edge: Edge) -> None:
    await edge.post({**QUESTION, "models": ["b", "c"]}, {"x-tollway-session": "s-1"})
    await edge.post({"messages": QUESTION["messages"], "models": ["b", "c"], "stream": True})

    first, second = edge.router.requests
    assert (first.chat.model, first.preferences) == ("gpt-4o", rpc.Preferences(models=["b", "c"], session="s-1"))
    assert (second.chat.model, second.preferences) == ("b", rpc.Preferences(models=["c"]))


async def test_when_nobody_can_be_asked_the_client_is_told_when_and_why(edge: Edge) -> None:
    edge.router.completion = TollwayError(
        Reason.NO_DEPLOYMENT_READY, "nobody", {"candidate_1": "a/m: offline", "candidate_2": "b/m: offline"}, 3.0
    )

    reply = await edge.post()

    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert reply.error["candidates"] == ["a/m: offline", "b/m: offline"]
