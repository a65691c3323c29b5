"""Endpoints that are passed on: `/v1/images/generations`, `/v1/audio/speech`, `/v1/audio/transcriptions`,
`/v1/moderations` and `/v1/rerank`. Of a question the model's name alone is read, and of an answer nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway_http.asking import Call, note_headers
from gateway_http.body import BodyReader, check_form
from gateway_http.exchange import Exchange, PassedOn
from gateway_http.header_text import header_type
from gateway_http.json_input import name_of, read_object
from gateway_http.receipt import receipt_headers
from mesh.errors import Reason, TollwayError, invalid
from mesh.forms import BadForm, read_form
from tollway.chat.v1.forwarding_pb2 import Endpoint, Form, ForwardedHead
from tollway.router.v1.router_pb2 import ForwardRequest, Receipt

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub

PATHS = {
    "/v1/images/generations": Endpoint.ENDPOINT_IMAGE_GENERATIONS,
    "/v1/audio/speech": Endpoint.ENDPOINT_AUDIO_SPEECH,
    "/v1/audio/transcriptions": Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS,
    "/v1/moderations": Endpoint.ENDPOINT_MODERATIONS,
    "/v1/rerank": Endpoint.ENDPOINT_RERANK,
}
_FORMS = frozenset({Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS})
_MODELS = {
    Endpoint.ENDPOINT_MODERATIONS: "omni-moderation-latest",
    Endpoint.ENDPOINT_IMAGE_GENERATIONS: "chatgpt-image-latest",
}
"""Whom a question is for that may leave its model out, as OpenAI's may: the names that always stand for its latest."""


_NO_MODEL = "must be given: the name of the model to ask"


class Forwarding:
    """The handler of one endpoint."""

    def __init__(self, endpoint: Endpoint.ValueType, router: RouterServiceAsyncStub, bodies: BodyReader) -> None:
        self._endpoint, self._router, self._bodies = endpoint, router, bodies

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        request = ForwardRequest()
        call = note_headers(exchange, request)
        request.question.endpoint = self._endpoint
        if self._endpoint in _FORMS:
            await self._read_form(exchange, request)
        else:
            await self._read_json(exchange, request)
        return await self._pass_on(exchange, request, call)

    # -- the question --------------------------------------------------------------------------------------------------

    async def _read_json(self, exchange: Exchange, request: ForwardRequest) -> None:
        body = await self._bodies.read(exchange.request)
        model = read_object(body).get("model")
        if model is None:
            model = _MODELS.get(self._endpoint)
        if model is None:
            raise invalid("model", _NO_MODEL)
        if type(model) is not str:
            raise invalid("model", f"must be a string, not {name_of(model)}")
        if not model:
            raise invalid("model", "must not be empty")
        request.question.model, request.question.json = model, body

    async def _read_form(self, exchange: Exchange, request: ForwardRequest) -> None:
        body = await self._bodies.read(exchange.request, check_form)
        try:
            fields = read_form(exchange.request.headers["content-type"], body)
        except BadForm as bad:
            raise TollwayError(Reason.INVALID_REQUEST, f"the form {bad}") from None
        form = request.question.form
        form.SetInParent()
        for each in fields:
            form.fields.add(name=each.name, value=each.value, filename=each.filename, content_type=each.content_type)
        request.question.model = _model_in(form)

    # -- the answer ----------------------------------------------------------------------------------------------------

    async def _pass_on(self, exchange: Exchange, request: ForwardRequest, call: Call) -> web.StreamResponse:
        """Sends nothing, not even a status, before the router's first message: it comes with the first of the answer.

        What is JSON is sent once it is whole, so that its headers can say what it cost.
        """
        stream: PassedOn | None = None
        head, receipt, whole = ForwardedHead(), Receipt(), bytearray()
        answer = self._router.Forward(request, metadata=call.metadata, timeout=call.seconds)
        try:
            async for message in answer:
                if message.HasField("receipt"):
                    receipt = message.receipt
                if message.HasField("head"):
                    head = message.head
                    if not _is_json(head):
                        length = head.content_length if head.HasField("content_length") else None
                        stream = await exchange.pass_on(
                            header_type(head.content_type), length, receipt_headers(receipt)
                        )
                if stream is None:
                    whole += message.data
                elif message.data:
                    await stream.write(message.data)
        finally:
            answer.cancel()  # does nothing where the call has ended
        if stream is not None:
            await stream.finish()
            return stream
        if not head.content_type:
            raise TollwayError(Reason.INTERNAL, "the router ended an answer that had not begun")
        return web.Response(
            body=bytes(whole), headers={"content-type": header_type(head.content_type), **receipt_headers(receipt)}
        )


def _is_json(head: ForwardedHead) -> bool:
    return "json" in head.content_type.lower()


def _model_in(form: Form) -> str:
    """Wherever it stands. Raises INVALID_REQUEST where there is none."""
    given = next((field.value for field in form.fields if field.name == "model" and not field.filename), None)
    if given is None:
        raise invalid("model", _NO_MODEL)
    try:
        model = given.decode()
    except UnicodeDecodeError:
        raise invalid("model", "must be UTF-8") from None
    if not model or "\0" in model:
        raise invalid("model", "must be a name")
    return model
