"""What the headers of any question say to the router."""

from __future__ import annotations

from typing import NamedTuple

from gateway_http.exchange import Exchange
from gateway_http.request_headers import (
    Metadata,
    call_metadata,
    drops_unsupported,
    note_repetition,
    session,
    tags,
    timeout,
    wants_explanation,
)
from mesh.errors import invalid
from tollway.router.v1.router_pb2 import CreateEmbeddingsRequest, ForwardRequest

Request = CreateEmbeddingsRequest | ForwardRequest


class Call(NamedTuple):
    """How the router is called: what goes beside the message, and how many seconds it may take (None: any)."""

    metadata: Metadata
    seconds: float | None


def note_headers(exchange: Exchange, request: Request) -> Call:
    """Notes in the request what its headers say. Raises INVALID_REQUEST, naming the header."""
    headers = exchange.request.headers
    if wants_explanation(headers):
        raise invalid("x-tollway-explain", "is answered where conversations are, and not here")
    request.request_id = exchange.request_id
    request.tags.extend(tags(headers))
    if kept_to := session(headers):
        request.preferences.session = kept_to
    note_repetition(headers, request.preferences)
    if drops_unsupported(headers):
        request.preferences.drop_unsupported = True
    return Call(call_metadata(headers, exchange.span.context), timeout(headers))
