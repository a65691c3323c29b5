"""A server of raw bytes, for what a well-behaved one would not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Play = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the connection it came on."""

    request: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: str = "200 OK", kind: str = "text/event-stream", *headers: str) -> None:
        lines = (f"HTTP/1.1 {status}", f"content-type: {kind}", *headers)
        if not any("content-length" in header for header in headers):
            lines = (*lines, "transfer-encoding: chunked")
        await self.send("\r\n".join((*lines, "", "")).encode())

    async def chunk(self, data: bytes) -> None:
        """A chunk of the body; an empty one ends it."""
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def whole(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        await self.head(status, "application/json", f"content-length: {len(body)}", *headers)
        await self.send(body)

    def cut(self) -> None:
        self.writer.transport.close()

    async def gone(self) -> None:
        """Until the other side has left."""
        try:
            while await self.reader.read(1024):
                pass
        except ConnectionError:
            return


@dataclass
class Upstream:
    """Plays one script for every request; `requests` are their heads, `connections` how many there were."""

    port: int = 0
    connections: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def headers(self, request: int = -1) -> dict[str, str]:
        lines = self.requests[request].split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


@asynccontextmanager
async def upstream(play: Play) -> AsyncIterator[Upstream]:
    server_side = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server_side.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                server_side.requests.append(head.decode())
                body = await reader.readexactly(int(server_side.headers().get("content-length", 0)))
                await play(Exchange(head, body, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    server_side.port = server.sockets[0].getsockname()[1]
    try:
        yield server_side
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
