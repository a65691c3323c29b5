"""Puts the document together: of what could be said, what the running edge does."""

from __future__ import annotations

from collections.abc import Collection

from gateway_http.openapi import anthropic, conversations, errors, looking, others
from gateway_http.openapi.headers import PARAMETERS
from gateway_http.openapi.operations import head_of, options
from gateway_http.openapi.schema import Json

_DESCRIPTION = """One endpoint in front of every model provider.

Errors have OpenAI's shape, those of `/v1/messages` Anthropic's. A stream that has begun ends with its dialect's mark,
or with one error; never with both, and never with neither. `HEAD` is answered wherever `GET` is."""

_KEYS: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
_SECURITY: list[Json] = [*({name: []} for name in _KEYS), {}]
"""One of them; none where the configuration has no keys."""
_PARTS = (conversations, anthropic, others, looking)


def document(version: str, served: Collection[str]) -> Json:
    """The document of an edge that serves these paths (`/v1/models/{id}`)."""
    known = {path: item for part in _PARTS for path, item in part.PATHS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tollway", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "paths": {path: _all_methods(path, item) for path, item in known.items() if path in served},
        "components": {
            "schemas": {name: schema for part in (errors, *_PARTS) for name, schema in part.SCHEMAS.items()},
            "parameters": PARAMETERS,
            "securitySchemes": _KEYS,
        },
    }


def _all_methods(path: str, item: Json) -> Json:
    """The path's operations, each under an id, and what there is besides everywhere."""
    (first, *_) = item.values()
    methods = {**item, "options": options(first["tags"][0])}
    if "get" in item:
        methods["head"] = head_of(item["get"])
    if "parameters" in first and "{id}" in path:
        methods["options"] = {**methods["options"], "parameters": first["parameters"][:1]}
    return {method: {"operationId": _identifier(method, path), **each} for method, each in methods.items()}


def _identifier(method: str, path: str) -> str:
    words = path.removeprefix("/v1").strip("/").replace("{id}", "one").replace(".", "_").replace("/", "_")
    return f"{method}_{words}"
