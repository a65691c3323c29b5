"""A streamed call through the providers service, to a listening stand-in that checks its signature as AWS does."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from aiohttp import web

from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import SystemClock
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.mediator import Mediator
from mesh.status import from_rpc_error
from mesh.telemetry.in_memory import InMemoryTelemetry
from services.providers.adapters import bedrock
from services.providers.adapters.aws_credentials import AwsCredentials
from services.providers.adapters.transport import HttpTransport
from services.providers.bootstrap import ProvidersRuntime
from services.providers.handlers.calling import Surroundings
from services.providers.handlers.create_completion import CreateCompletion, create_completion
from services.providers.handlers.stream_completion import StreamCompletion, stream_completion
from services.providers.ports import Provider
from tests.providers.framing import frame
from tollway.chat.v1 import chat_pb2
from tollway.providers.v1 import providers_pb2, providers_pb2_grpc

REGION, KEY_ID, SECRET, TOKEN = "eu-central-1", "AKIDEXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCY", "session-token-x"
MODEL = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
WORDS = [f"word{i} " for i in range(16)]
EVENTS = [
    ("messageStart", {"role": "assistant"}),
    *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}, "p": "abcd"}) for word in WORDS),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 16, "totalTokens": 19}, "metrics": {"latencyMs": 9}}),
]


def expected_signature(request: web.Request, body: bytes, signed: str) -> str:
    """What the signature must be, from the request as it arrived and by AWS's description of Signature Version 4."""

    def keyed(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), sha256).digest()

    date = request.headers["x-amz-date"]
    path, _, query = request.raw_path.partition("?")
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed.split(";"))
    canonical = "\n".join((request.method, quote(path, safe="/~"), query, headers, signed, sha256(body).hexdigest()))
    scope = f"{date[:8]}/{REGION}/bedrock/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", date, scope, sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{SECRET}".encode()
    for step in (*scope.split("/"), to_sign):
        key = keyed(key, step)
    return key.hex()


@dataclass
class Bedrock:
    """A stand-in for it. `paths` are what was asked for, as it stood on the wire."""

    port: int = 0
    paths: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.paths.append(request.raw_path)
        how, _, rest = request.headers["authorization"].partition(" ")
        said = dict(each.split("=", 1) for each in rest.split(", "))
        assert how == "AWS4-HMAC-SHA256"
        assert {"host", "x-amz-date", "x-amz-security-token"} <= set(said["SignedHeaders"].split(";"))
        now = datetime.now(UTC)
        sent = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        right = said["Signature"] == expected_signature(request, body, said["SignedHeaders"])
        known = said["Credential"].startswith(f"{KEY_ID}/") and request.headers["x-amz-security-token"] == TOKEN
        if not (right and known and abs((now - sent).total_seconds()) < 300):
            return self._refusal(request)
        assert json.loads(body)["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]
        response = web.StreamResponse(headers={"x-amzn-requestid": "request-1"})
        response.content_type = "application/vnd.amazon.eventstream"
        await response.prepare(request)
        for kind, payload in EVENTS:
            await response.write(frame({":event-type": kind, ":message-type": "event"}, json.dumps(payload).encode()))
        return response

    def _refusal(self, request: web.Request) -> web.Response:
        token = request.headers["x-amz-security-token"]
        message = (
            "The request signature we calculated does not match the signature you provided.\n\n"
            f"The Canonical String for this request should have been\n'POST\nx-amz-security-token:{token}\n'"
        )
        headers = {"x-amzn-errortype": "InvalidSignatureException", "x-amzn-requestid": "request-2"}
        return web.json_response({"message": message}, status=403, headers=headers)


@asynccontextmanager
async def standing_in() -> AsyncIterator[Bedrock]:
    stand_in = Bedrock()
    app = web.Application()
    app.router.add_post("/{tail:.*}", stand_in.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stand_in.port = runner.addresses[0][1]
    try:
        yield stand_in
    finally:
        await runner.cleanup()


@asynccontextmanager
async def service(port: int, secret: str = SECRET) -> AsyncIterator[providers_pb2_grpc.ProviderServiceStub]:
    """The providers service with one provider, `aws`."""
    clock, telemetry = SystemClock(), InMemoryTelemetry()
    http = HttpTransport(clock)
    provider = Provider(
        name="aws",
        dialect=bedrock,
        transport=http,
        base_url=f"http://127.0.0.1:{port}",
        headers={"content-type": "application/json", "accept-encoding": "identity", "user-agent": "tollway"},
        redact=lambda text: text,
        credentials=AwsCredentials(
            clock, region=REGION, access_key_id=KEY_ID, secret_access_key=secret, session_token=TOKEN
        ),
    )
    around = Surroundings(clock, telemetry.tracer, telemetry.metrics)
    handlers: list[tuple[type[Any], Any]] = [
        (StreamCompletion, partial(stream_completion, providers={"aws": provider}, around=around)),
        (CreateCompletion, partial(create_completion, providers={"aws": provider}, around=around)),
    ]
    runtime = ProvidersRuntime(Mediator(handlers, expected=[StreamCompletion, CreateCompletion]), http)
    server = InProcessServer((Errors(),))
    runtime.register(server)
    try:
        yield providers_pb2_grpc.ProviderServiceStub(InProcessChannel(server))
    finally:
        await server.stop(None)
        await runtime.close()


QUESTION = providers_pb2.StreamCompletionRequest(
    provider="aws",
    model=MODEL,
    attempt_id="018c2a5e-0000-7000-8000-000000000001",
    chat=chat_pb2.ChatRequest(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])]
    ),
)


async def asked(stub: Any) -> list[providers_pb2.StreamCompletionResponse]:
    # Untyped: the generated types know only stubs that do not run in an event loop.
    return [response async for response in stub.StreamCompletion(QUESTION)]


async def test_a_stream_of_twenty_events_is_signed_as_aws_checks_it_and_arrives_whole() -> None:
    assert len(EVENTS) == 20
    async with standing_in() as aws, service(aws.port) as stub:
        responses = await asked(stub)
    deltas = [delta for response in responses for delta in response.chunk.deltas]
    assert "".join(delta.text for delta in deltas) == "".join(WORDS)
    assert deltas[-1].finish_reason == chat_pb2.FINISH_REASON_STOP
    assert responses[-1].chunk.usage.output_tokens == 16
    assert responses[0].upstream.request_id == "request-1"
    assert aws.paths == [f"/model/{quote(MODEL, safe=':')}/converse-stream"]


async def test_a_wrong_key_is_an_error_of_credentials_that_holds_no_secret() -> None:
    async with standing_in() as aws, service(aws.port, secret="not-the-secret") as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked(stub)
    error: TollwayError = from_rpc_error(caught.value)
    assert error.reason is Reason.UPSTREAM_CREDENTIALS
    assert error.message.startswith("The request signature we calculated does not match")
    assert error.metadata["upstream_request_id"] == "request-2"
    told = f"{caught.value.details()} {error.message} {dict(error.metadata)}"
    for secret in (TOKEN, "not-the-secret", SECRET):
        assert secret not in told
