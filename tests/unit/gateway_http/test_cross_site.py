from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import CHAT, QUESTION, Edge, Reply

LOCAL = [
    "localhost",
    "LocalHost:8080",
    "127.0.0.1",
    "127.8.9.1:80",
    "[::1]",
    "[::1]:8080",
    "app.localhost",
    "localhost.",
]
STRANGERS = ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0:8080",
             "192.168.1.5", "localhost@evil.example", "[::1", "[::ffff]:80", "evillocalhost"]  # fmt: skip


@pytest.fixture
async def edge(open_edge: OpenEdge) -> Edge:
    return await open_edge(hosts=("gateway.example.com",), metrics_page=lambda: b"")


def refused(reply: Reply, header: str) -> bool:
    message = reply.error["message"] if reply.status == 403 else ""
    assert not message or "without keys only this machine is served" in message
    return f"({header}: " in message


@pytest.mark.parametrize("host", [*LOCAL, "gateway.example.com", "Gateway.example.com:443"])
async def test_this_machine_may_be_called_by_its_names_and_those_it_is_given(edge: Edge, host: str) -> None:
    assert (await edge.post(headers={"host": host})).status == 200
    assert (await edge.post(headers={"origin": f"https://{host}"})).status == 200


@pytest.mark.parametrize("host", STRANGERS)
async def test_a_page_whose_name_was_made_to_lead_here_is_turned_away(edge: Edge, host: str) -> None:
    assert refused(await edge.post(headers={"host": host}), "Host")
    assert edge.router.requests == []


@pytest.mark.parametrize("origin", [*(f"http://{name}" for name in STRANGERS), "null", "chrome-extension://abc", ""])
async def test_a_page_of_another_site_is_turned_away(edge: Edge, origin: str) -> None:
    assert refused(await edge.post(headers={"origin": origin}), "Origin")
    assert edge.router.requests == []


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/healthz", "/nothing", CHAT])
async def test_no_path_is_open_to_pages(edge: Edge, path: str) -> None:
    assert refused(await edge.ask("GET", path, headers={"host": "evil.example"}), "Host")


async def test_a_name_without_end_is_not_repeated_whole(edge: Edge) -> None:
    reply = await edge.post(headers={"origin": "http://" + "a" * 5000})
    assert len(reply.error["message"]) < 400


async def test_a_client_of_old_that_names_no_host_is_served(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await client.reply()).status == 200


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_where_a_key_is_asked_for_it_is_the_key_that_counts(open_edge: OpenEdge, headers: dict[str, str]) -> None:
    edge = await open_edge(keyed=True)
    assert (await edge.post(headers=headers)).status == 200


async def test_beyond_this_machine_any_name_may_lead_here_and_no_page(open_edge: OpenEdge) -> None:
    edge = await open_edge(listen="0.0.0.0:0", allow_insecure=True)
    assert (await edge.post(headers={"host": "gateway:8080"})).status == 200
    assert refused(await edge.post(headers={"origin": "https://evil.example"}), "Origin")


async def test_a_socket_has_no_name(open_edge: OpenEdge, short_path: Path) -> None:
    path = f"{short_path}/edge.sock"
    await open_edge(listen=f"unix:{path}")
    asked: dict[str, Any] = {"json": QUESTION}
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
        async with session.post(f"http://whatever.example{CHAT}", **asked) as response:
            assert response.status == 200
        origin = {"origin": "https://evil.example"}
        async with session.post(f"http://whatever.example{CHAT}", headers=origin, **asked) as response:
            assert response.status == 403
