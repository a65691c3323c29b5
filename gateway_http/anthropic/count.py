"""`POST /v1/messages/count_tokens`: how many tokens a question has, without asking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway_http.anthropic.headers import read_headers
from gateway_http.anthropic.request import decode_count
from gateway_http.body import BodyReader
from gateway_http.exchange import Exchange
from gateway_http.header_text import header_list, header_text
from gateway_http.json_input import read_object
from gateway_http.json_output import encode_json
from gateway_http.request_headers import call_metadata, drops_unsupported, session, tags, timeout

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub


class CountTokens:
    """The handler. `max_messages` bounds a conversation."""

    def __init__(self, router: RouterServiceAsyncStub, bodies: BodyReader, max_messages: int) -> None:
        self._router, self._bodies, self._max_messages = router, bodies, max_messages

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        headers = exchange.request.headers
        metadata, seconds = call_metadata(headers, exchange.span.context), timeout(headers)
        labels, kept_to, leave_out = tags(headers), session(headers), drops_unsupported(headers)
        fields = read_object(await self._bodies.read(exchange.request))
        read_headers(headers, fields)
        request = decode_count(fields, self._max_messages)
        request.request_id = exchange.request_id
        request.tags.extend(labels)
        if kept_to:
            request.preferences.session = kept_to
        if leave_out:
            request.preferences.drop_unsupported = True
        counted = await self._router.CountTokens(request, metadata=metadata, timeout=seconds)
        answer = {"content-type": "application/json", "x-tollway-deployment": header_text(counted.deployment)}
        told: dict[str, Any] = {"deployment": counted.deployment, "trace_id": exchange.trace_id}
        if counted.estimated:
            told["estimated"] = True
        if counted.dropped:
            told["dropped"] = list(counted.dropped)
            answer["x-tollway-dropped"] = header_list(counted.dropped)
        said: dict[str, Any] = {"input_tokens": counted.input_tokens}
        if counted.HasField("original_input_tokens"):
            said["context_management"] = {"original_input_tokens": counted.original_input_tokens}
        body = encode_json({**said, "tollway": told})
        return web.Response(body=body, headers=answer)
