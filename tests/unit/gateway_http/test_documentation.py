from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from gateway_http import documentation
from gateway_http.openapi import document
from mesh.errors import TABLE
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import Edge

NODE = which("node")
SERVED = ("/v1/chat/completions", "/v1/models/{id}", "/v1/messages", "/healthz")


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        below = [references(each) for each in value.values()]
        return set().union(*below, {value["$ref"]} if isinstance(value.get("$ref"), str) else set())
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_the_document_has_every_path_of_the_edge_and_no_other(edge: Edge) -> None:
    told = (await edge.ask("GET", "/openapi.json")).json
    assert told["openapi"] == "3.1.0"
    for path, item in told["paths"].items():
        allowed = set((await edge.ask("OPTIONS", path.replace("{id}", "x"))).headers["allow"].split(", "))
        assert allowed == {method.upper() for method in item}, path


async def test_every_path_of_the_edge_is_in_the_document(open_edge: OpenEdge) -> None:
    edge = await open_edge(metrics_page=lambda: b"")
    routes = edge.gateway._server.request_handler._routes  # type: ignore[attr-defined]  # nothing else knows them all
    templates = {*routes._exact, *(route.template for _, route in routes._below)}
    assert set((await edge.ask("GET", "/openapi.json")).json["paths"]) == templates


async def test_metrics_are_in_it_only_where_there_are_any(edge: Edge) -> None:
    assert "/metrics" not in (await edge.ask("GET", "/openapi.json")).json["paths"]


def test_what_the_edge_does_not_serve_is_left_out() -> None:
    assert set(document("1", SERVED)["paths"]) == set(SERVED)


def test_every_reference_leads_somewhere() -> None:
    whole = document("1", SERVED)
    for reference in references(whole):
        found: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [each["operationId"] for item in document("1", SERVED)["paths"].values() for each in item.values()]
    assert len(names) == len(set(names))


def test_every_status_of_the_error_table_that_a_question_can_meet_is_told() -> None:
    told = document("1", SERVED)["paths"]["/v1/chat/completions"]["post"]["responses"]
    beside = {405, 499}  # of other methods, and of clients that are not there to be answered
    assert {str(row.http_status) for row in TABLE.values() if row.http_status not in beside} <= set(told)


def test_errors_of_anthropic_s_endpoints_have_its_shape() -> None:
    told = document("1", SERVED)["paths"]["/v1/messages"]["post"]["responses"]["400"]
    assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/AnthropicError"}


async def test_the_page_needs_nothing_from_outside(edge: Edge) -> None:
    reply = await edge.ask("GET", "/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert b"openapi.json" in reply.body
    assert not re.search(rb"(?:https?:)?//[a-z]", re.sub(rb"\n\s*//[^\n]*", b"", reply.body))


@pytest.mark.skipif(NODE is None, reason="there is no node, which plays the browser")
async def test_the_page_shows_every_operation_with_its_fields_and_errors(edge: Edge) -> None:
    assert NODE is not None
    told = await edge.ask("GET", "/openapi.json")
    page = Path(documentation.__file__).with_name("docs.html")
    command = [NODE, str(Path(__file__).with_name("docs_page.js")), str(page)]
    played = await asyncio.to_thread(subprocess.run, command, input=told.body, capture_output=True, check=True)
    shown = played.stdout.decode()
    for path in told.json["paths"]:
        assert path in shown
    for word in ("encoding_format?", "x-tollway-tags", "multipart/form-data", "budget_exceeded", "Version"):
        assert word in shown
    assert "could not be read" not in shown


async def test_neither_needs_a_key_or_leaves_a_span(open_edge: OpenEdge) -> None:
    edge = await open_edge(keyed=True)
    for path in ("/docs", "/openapi.json"):
        assert (await edge.ask("GET", path)).status == 200
    assert not edge.tracer.spans
    assert not edge.router.requests


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_they_are_there_to_be_read_alone(edge: Edge, path: str) -> None:
    reply = await edge.ask("POST", path)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_an_edge_that_nobody_asks_for_it_does_not_load_it() -> None:
    loaded = "import sys, gateway_http.bootstrap; print([name for name in sys.modules if 'openapi' in name])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True).stdout == "[]\n"
