"""Calling a provider: what every call has around it, whichever way its answer is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from urllib.parse import urlsplit

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError, invalid
from mesh.metrics import LabelSet, Metrics
from mesh.tracing import AttributeValue, Kind, TraceContext, Tracer
from services.providers.domain.failures import malformed
from services.providers.domain.headers import request_id
from services.providers.domain.patience import Patience
from services.providers.domain.wire import MAX_ANSWER, MAX_ERROR, Encoded, Limits, Outgoing
from services.providers.ports import Answer, Provider
from tollway.providers.v1 import providers_pb2

Request = (
    providers_pb2.CreateCompletionRequest
    | providers_pb2.StreamCompletionRequest
    | providers_pb2.CreateEmbeddingsRequest
    | providers_pb2.ForwardRequest
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ERROR_WAIT = 5.0
"""Seconds that an error's body may take; its status is here already."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every call needs besides its provider."""

    clock: Clock
    tracer: Tracer
    metrics: Metrics


def check(request: Request) -> None:
    """Raises INVALID_REQUEST for what no provider can be asked."""
    check_model(request.model)
    if not _UUID.fullmatch(request.attempt_id):
        raise invalid("attempt_id", "must be a UUID")


def check_model(model: str) -> None:
    """Raises INVALID_REQUEST where no model is named."""
    if not model:
        raise invalid("model", "must name one of the provider's models")


class Call:
    """One call: its span, its connection and its errors. Entered, it is an answer that has begun well.

    Raises what the transport raises, and for any status but 2xx what the dialect reads out of the error. Every error
    that leaves it names the provider, and holds none of its secrets. Left early, it ends the upstream call.
    """

    def __init__(
        self,
        provider: Provider,
        encoded: Encoded,
        trace: TraceContext | None,
        around: Surroundings,
        *,
        limits: Limits,
        attempt_id: str = "",
    ) -> None:
        self.limits = limits
        self._provider, self._around = provider, around
        self._url = provider.base_url + encoded.path
        self._attributes = _attributes(self._url, encoded.method)
        self._started = around.clock.monotonic()
        self._span = around.tracer.start(encoded.method, Kind.CLIENT, trace, self._attributes)
        self._answer: Answer | None = None
        headers = {**provider.headers, **encoded.headers}
        if attempt_id:
            headers["x-client-request-id"] = attempt_id
        headers["traceparent"] = self._span.context.traceparent
        self._outgoing = Outgoing(self._url, encoded.body, headers, encoded.method)

    async def __aenter__(self) -> Answer:
        try:
            outgoing, credentials = self._outgoing, self._provider.credentials
            if credentials is not None:
                outgoing = await credentials.sign(outgoing)
            answer = self._answer = await self._provider.transport.open(outgoing, self.limits)
            if self._span.recording:
                self._span.set({"http.response.status_code": answer.status})
            if not 200 <= answer.status < 300:
                raise await self._refusal(answer)
        except BaseException as error:
            self._leave(error)
            raise
        return answer

    async def _refusal(self, answer: Answer) -> TollwayError:
        clock = self._around.clock
        body = await _error_body(answer, clock)
        refusal = self._provider.dialect.decode_error(answer.status, answer.headers, body, clock.time())
        # AWS says 403 of a token that has expired; other 403s that name the credential may mean as much.
        if answer.status == 401 or (answer.status == 403 and refusal.reason is Reason.UPSTREAM_CREDENTIALS):
            self._provider.refused()
        return refusal

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._answer is not None:
            self._answer.close()
        status = self._answer.status if self._answer is not None else 0
        failed = ""
        if isinstance(error, TollwayError):
            # By status where that is the failure, as HTTP's conventions want it. The message stays out of the span: it
            # may quote the question.
            failed = str(status) if status >= 300 else error.reason.value
            self._span.fail(failed, _obstacle(error))
            self._blame(error)
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._span.set({"tollway.outcome": "cancelled"})
        elif error is not None:
            failed = type(error).__name__
            self._span.fail(failed)
        self._measure(status, failed)
        self._span.end()

    def _blame(self, error: TollwayError) -> None:
        redact = self._provider.redact
        error.message = redact(error.message)
        about = {**self._answered(), **error.metadata}
        error.metadata = {"provider": self._provider.name, **{name: redact(value) for name, value in about.items()}}

    def _answered(self) -> dict[str, str]:
        """What is known of an answer that began, whatever became of it: the call did arrive."""
        answer = self._answer
        if answer is None:
            return {}
        about = {"upstream_status": str(answer.status)}
        if request := request_id(answer.headers):
            about["upstream_request_id"] = request
        return about

    def _measure(self, status: int, failed: str) -> None:
        method, address = self._attributes["http.request.method"], self._attributes["server.address"]
        labels = _labels(str(method), str(address), status, failed)
        seconds = self._around.clock.monotonic() - self._started
        self._around.metrics.record("http.client.request.duration", seconds, labels)


async def read_whole(answer: Answer, limits: Limits, clock: Clock, limit: int = MAX_ANSWER) -> bytes:
    """The answer's body. White space before it is no content: some servers send it to keep the connection open.

    Raises UPSTREAM_SILENT, UPSTREAM_CUT, and UPSTREAM_MALFORMED for a body of more than `limit` bytes.
    """
    patience = Patience(limits, clock.monotonic)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await answer.read(patience.deadline):
            if not pieces and piece.isspace():
                continue
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise malformed(f"the provider's answer is longer than {limit} bytes")
            patience.renew()
    except TimeoutError:
        raise patience.ran_out() from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _error_body(answer: Answer, clock: Clock) -> bytes:
    """As much of it as comes soon: what matters is the status."""
    deadline = clock.monotonic() + _ERROR_WAIT
    body = b""
    try:
        while len(body) < MAX_ERROR and (piece := await answer.read(deadline)):
            body += piece
    except TimeoutError:
        return body
    except TollwayError as error:
        if error.reason is not Reason.UPSTREAM_CUT:
            raise
    return body


def _obstacle(error: TollwayError) -> str:
    """What stood in the way of a connection, with the address: the span is for operators. Nothing else is known to
    quote nobody."""
    connecting = error.metadata.get("phase") == "connect"
    return str(error.__cause__ or "") if connecting and error.reason is Reason.UPSTREAM_UNREACHABLE else ""


@lru_cache(maxsize=1024)
def _labels(method: str, address: str, status: int, failed: str) -> LabelSet:
    labels: dict[str, str | int | bool] = {"http.request.method": method, "server.address": address}
    if status:
        labels["http.response.status_code"] = status
    if failed:
        labels["error.type"] = failed
    return LabelSet(labels)


@lru_cache(maxsize=1024)
def _attributes(url: str, method: str) -> Mapping[str, AttributeValue]:
    """A call's span attributes, without what the URL may hold of secrets: user, password, query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    netloc = parts.netloc.rpartition("@")[2]
    return {
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
        "url.full": f"{parts.scheme}://{netloc}{parts.path}",
    }
