"""A question to a model, in whatever dialect: asks the router, and passes its answer on, whole or as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway_http.body import BodyReader
from gateway_http.dialect import Answering, Dialect, Identity, StreamWriter
from gateway_http.exchange import Exchange
from gateway_http.explanation import explanation_fields
from gateway_http.json_input import read_object
from gateway_http.json_output import encode_json
from gateway_http.receipt import receipt_headers
from gateway_http.request_headers import (
    Headers,
    Metadata,
    assured,
    call_metadata,
    drops_unsupported,
    note_repetition,
    session,
    tags,
    timeout,
    wants_explanation,
)
from mesh.channels import next_is_here
from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from tollway.router.v1.router_pb2 import (
    CreateChatCompletionRequest,
    ExplainRouteRequest,
    Receipt,
    StreamChatCompletionRequest,
)

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub


class Conversation:
    """The handler of a dialect's endpoint. `max_messages` bounds a conversation.

    `read_headers` puts what the dialect says in headers among the fields of the question.
    """

    def __init__(
        self,
        dialect: Dialect,
        router: RouterServiceAsyncStub,
        bodies: BodyReader,
        clock: Clock,
        max_messages: int,
        read_headers: Callable[[Headers, dict[str, Any]], None] | None = None,
    ) -> None:
        self._dialect, self._read_headers = dialect, read_headers
        self._router, self._bodies, self._clock, self._max_messages = router, bodies, clock, max_messages

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        headers = exchange.request.headers
        metadata, seconds = call_metadata(headers, exchange.span.context), timeout(headers)
        labels, kept_to, explain = tags(headers), session(headers), wants_explanation(headers)
        held_back = assured(headers)
        body = await self._bodies.read(exchange.request)
        fields = read_object(body)
        if self._read_headers is not None:
            self._read_headers(headers, fields)
        request, answering = self._dialect.decode(fields, self._max_messages)
        request.request_id = exchange.request_id
        request.tags.extend(labels)
        if kept_to:
            request.preferences.session = kept_to
        if explain:
            return await self._explain(request, metadata, seconds)
        if held_back is not None:
            request.preferences.assured = held_back
        note_repetition(headers, request.preferences)
        if drops_unsupported(headers):
            request.preferences.drop_unsupported = True
        if isinstance(request, CreateChatCompletionRequest):
            return await self._answer_whole(exchange, request, metadata, seconds, answering)
        writer = answering.stream(Identity(exchange.request_id, request.chat.model, self._clock.time()))
        return await self._answer_in_pieces(exchange, request, metadata, seconds, writer)

    async def _explain(
        self,
        request: CreateChatCompletionRequest | StreamChatCompletionRequest,
        metadata: Metadata,
        seconds: float | None,
    ) -> web.StreamResponse:
        """Says where the question would go, and asks nobody."""
        question = ExplainRouteRequest(
            chat=request.chat,
            tags=request.tags,
            preferences=request.preferences,
            streamed=isinstance(request, StreamChatCompletionRequest),
        )
        explanation = await self._router.ExplainRoute(question, metadata=metadata, timeout=seconds)
        body = encode_json(explanation_fields(request.chat.model, explanation))
        return web.Response(body=body, headers={"content-type": "application/json"})

    async def _answer_whole(
        self,
        exchange: Exchange,
        request: CreateChatCompletionRequest,
        metadata: Metadata,
        seconds: float | None,
        answering: Answering,
    ) -> web.StreamResponse:
        answer = await self._router.CreateChatCompletion(request, metadata=metadata, timeout=seconds)
        request_id = answer.receipt.request_id or exchange.request_id
        body = answering.whole(answer.chat, Identity(request_id, request.chat.model, self._clock.time()))
        headers = {"content-type": "application/json", **receipt_headers(answer.receipt)}
        return web.Response(body=body, headers=headers)

    async def _answer_in_pieces(
        self,
        exchange: Exchange,
        request: StreamChatCompletionRequest,
        metadata: Metadata,
        seconds: float | None,
        writer: StreamWriter,
    ) -> web.StreamResponse:
        """Sends nothing, not even a status, before the router's first message: it comes with the first content."""
        stream, receipt = None, Receipt()
        call = self._router.StreamChatCompletion(request, metadata=metadata, timeout=seconds)
        try:
            async for message in call:
                if message.HasField("receipt"):
                    receipt = message.receipt
                    if receipt.replayed and stream is None:
                        writer.stand_in(receipt.request_id)
                events = writer.encode(message.chunk)
                if stream is None:
                    exchange.errors = writer.failing(exchange.errors)
                    stream = await exchange.open_stream(receipt_headers(receipt))
                stream.hold(events)
                if not next_is_here(call):
                    await stream.flush()
        finally:
            call.cancel()  # does nothing where the call has ended
        if stream is None:
            raise TollwayError(Reason.INTERNAL, "the router ended a stream that had not begun")
        await stream.finish(writer.finish(receipt, exchange.trace_id))
        return stream
