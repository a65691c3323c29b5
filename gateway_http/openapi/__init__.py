"""`GET /openapi.json`: what the edge does, as OpenAPI 3.1. Nothing of this is imported before somebody asks for it."""

from gateway_http.openapi.document import document

__all__ = ["document"]
