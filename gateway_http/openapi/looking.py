"""What can be looked at: models, how the gateway is, and this document."""

from __future__ import annotations

from gateway_http.openapi.operations import JSON, look
from gateway_http.openapi.schema import TEXT, WHOLE, Json, an_object, array, const, one_of, ref

_MODELS, _HEALTH, _DOCUMENT = "Models", "Health", "Documentation"
_ALONE = (400, 403, 500)
"""What can befall what asks nobody."""

SCHEMAS: Json = {
    "Model": an_object(
        "id object created owned_by", id=TEXT, object=const("model"), created=WHOLE, owned_by=TEXT, description=TEXT
    ),
    "ModelList": an_object("object data", object=const("list"), data=array(ref("Model"))),
    "Alive": an_object("status", status=const("ok")),
    "Readiness": an_object(
        "status services state budgets",
        status=one_of("ready", "not ready"),
        services={"type": "object", "additionalProperties": TEXT},
        state=one_of("ok", "lost", "unknown"),
        budgets=one_of("ok", "lost", "unknown"),
    ),
}


def _named(operation: Json) -> Json:
    name: Json = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {**operation, "parameters": [name, *operation["parameters"]]}


def _ready() -> Json:
    operation = look("Tells whether everything behind the edge answers", {JSON: ref("Readiness")}, tag=_HEALTH,
                     fails=_ALONE)  # fmt: skip
    not_ready = {"description": "Something does not answer.", "content": {JSON: {"schema": ref("Readiness")}}}
    return {**operation, "responses": {**operation["responses"], "503": not_ready}}


PATHS: Json = {
    "/v1/models": {"get": look("Lists models", {JSON: ref("ModelList")}, tag=_MODELS)},
    "/v1/models/{id}": {
        "get": _named(look("Tells of a model", {JSON: ref("Model")}, tag=_MODELS,
                           fails=(400, 401, 403, 404, 429, 500, 502, 503, 504)))
    },
    "/healthz": {"get": look("Tells that the process lives", {JSON: ref("Alive")}, tag=_HEALTH, fails=_ALONE)},
    "/readyz": {"get": _ready()},
    "/metrics": {"get": look("What Prometheus reads", {"text/plain": TEXT}, tag=_HEALTH, fails=_ALONE)},
    "/openapi.json": {
        "get": look("This document", {JSON: {"type": "object"}}, tag=_DOCUMENT, fails=_ALONE),
    },
    "/docs": {"get": look("Shows it", {"text/html": TEXT}, tag=_DOCUMENT, fails=_ALONE)},
}  # fmt: skip
