"""One operation of the document: what it takes, what it answers, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping

from gateway_http.openapi.headers import OF_ALL, OF_QUESTIONS, answer_headers, error_headers, parameters
from gateway_http.openapi.schema import Json, ref
from mesh.errors import BY_PROVIDERS_STATUS, TABLE

JSON = "application/json"
EVENTS = "text/event-stream"
FORM = "multipart/form-data"

_OF_ALL = (400, 401, 403, 429, 500, 502, 503, 504)
"""What can befall anything that asks the router."""
_OF_BODIES = (408, 413, 415)
_OF_QUESTIONS = (404, 409)
_OF_A_SHAPE = {"anthropic": (529,)}
_SHAPES = {"openai": "Error", "anthropic": "AnthropicError"}


def question(
    summary: str,
    body: Json,
    answers: Mapping[str, Json],
    *,
    tag: str,
    takes: tuple[str, ...] = OF_QUESTIONS,
    content_type: str = JSON,
    errors: str = "openai",
) -> Json:
    """`POST`: something that is asked. `answers` are the schemas of an answer by content type."""
    return {
        "summary": summary,
        "tags": [tag],
        "parameters": parameters(takes),
        "requestBody": {"required": True, "content": {content_type: {"schema": body}}},
        "responses": {
            "200": _answer("The answer.", answers, asked=True),
            **_failures((*_OF_ALL, *_OF_BODIES, *_OF_QUESTIONS, *_OF_A_SHAPE.get(errors, ())), errors),
        },
    }


def look(summary: str, answers: Mapping[str, Json], *, tag: str, fails: tuple[int, ...] = _OF_ALL) -> Json:
    """`GET`: something that is looked at."""
    return {
        "summary": summary,
        "tags": [tag],
        "parameters": parameters(OF_ALL),
        "responses": {"200": _answer("What there is.", answers, asked=False), **_failures(fails, "openai")},
    }


def head_of(looked_at: Json) -> Json:
    """`HEAD`, which answers as `GET` does, without a body."""
    responses = {status: {"description": each["description"]} for status, each in looked_at["responses"].items()}
    return {**looked_at, "summary": f"{looked_at['summary']} (headers alone)", "responses": responses}


def options(tag: str) -> Json:
    """`OPTIONS`, which every path answers with what there is."""
    allow = {"allow": {"description": "The methods there are.", "schema": {"type": "string"}}}
    responses = {
        "204": {"description": "The methods are in `allow`.", "headers": {**answer_headers(asked=False), **allow}},
        **_failures((400, 403, 500), "openai"),
    }
    return {"summary": "Tells which methods there are", "tags": [tag], "responses": responses}


def _answer(description: str, answers: Mapping[str, Json], *, asked: bool) -> Json:
    content = {kind: {"schema": schema} for kind, schema in answers.items()}
    return {"description": description, "headers": answer_headers(asked=asked), "content": content}


def _failures(statuses: tuple[int, ...], shape: str) -> Json:
    return {str(status): _failure(status, shape) for status in sorted(statuses)}


def _failure(status: int, shape: str) -> Json:
    reasons = sorted({row.openai_code or row.openai_type for row in TABLE.values() if row.http_status == status})
    if shape == "anthropic":
        named = (reason for (reason, _), name in BY_PROVIDERS_STATUS.items() if name.http_status == status)
        reasons += [code for reason in named if (code := TABLE[reason].openai_code)]
    content = {JSON: {"schema": ref(_SHAPES[shape])}}
    return {"description": f"One of {', '.join(reasons)}.", "headers": error_headers(), "content": content}
