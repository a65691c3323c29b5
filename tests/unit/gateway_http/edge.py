"""A listening gateway, and ways to speak to it: as a client library does, and byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import openai

from gateway_http.bootstrap import Gateway
from tests.unit.gateway_http.scripted_router import RecordingMetrics, RecordingTracer, ScriptedHealth, ScriptedRouter

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Reply:
    """A response, read off a socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


@dataclass
class Edge:
    """A gateway in front of a scripted router."""

    gateway: Gateway
    router: ScriptedRouter
    health: ScriptedHealth
    tracer: RecordingTracer
    metrics: RecordingMetrics
    session: aiohttp.ClientSession = field(repr=False)
    _clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.gateway.close()

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.gateway.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def openai(self, max_retries: int = 0) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(base_url=f"{self.gateway.url}/v1", api_key="sk-test", max_retries=max_retries)
        self._clients.append(client)
        return client

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        async with self.session.request(method, self.gateway.url + path, data=body, headers=headers or {}) as response:
            return Reply(
                response.status, {name.lower(): text for name, text in response.headers.items()}, await response.read()
            )

    async def post(
        self, question: Any = None, headers: Mapping[str, str] | None = None, *, raw: bytes | None = None
    ) -> Reply:
        """Asks for a completion: for `question`, or with exactly these bytes."""
        body = json.dumps(QUESTION if question is None else question).encode() if raw is None else raw
        return await self.ask("POST", CHAT, body, {"content-type": "application/json", **(headers or {})})

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[RawClient]:
        client = RawClient(*await asyncio.open_connection(*self.address))
        try:
            yield client
        finally:
            client.writer.close()


class RawClient:
    """A connection that sends what it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def send_request(self, body: bytes = b"", *headers: str, method: str = "POST", path: str = CHAT) -> None:
        """A request whose content-length is right and whose content-type is JSON, unless `headers` say otherwise."""
        names = {header.partition(":")[0].lower() for header in headers}
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        if "content-type" not in names:
            lines.append("Content-Type: application/json")
        if not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def reply(self) -> Reply:
        """The next response on the connection. Raises asyncio.IncompleteReadError where there is none."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(status_line.split()[1])
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = b""
        return Reply(status, headers, body)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readline()).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def closed(self) -> bool:
        """Whether the server has closed the connection, without another word."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


async def eventually(condition: Callable[[], object]) -> None:
    """Waits until the condition holds. What it waits for happens in this very process, at once or never."""
    while not condition():  # noqa: ASYNC110 - conditions are of any kind
        await asyncio.sleep(0.001)


def events(body: bytes) -> list[Any]:
    """What stands behind `data:` in each event, `[DONE]` as that string."""
    assert body.endswith(b"\n\n")
    texts = [event.removeprefix("data: ") for event in body.decode().removesuffix("\n\n").split("\n\n")]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]
