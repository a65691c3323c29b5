from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from gateway_http.listening import check_address
from mesh.listening import CannotListen
from tests.unit.gateway_http.conftest import OpenEdge


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8080", "127.8.9.1:80", "localhost:8080", "[::1]:8080", "unix:/run/tollway.sock"]
)
def test_what_only_this_machine_reaches_may_be_listened_on(listen: str) -> None:
    assert str(check_address(listen, keyed=False, allow_insecure=False)) == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:8080", "gateway.internal:8080"])
def test_anything_else_is_refused_with_what_to_do(listen: str) -> None:
    with pytest.raises(CannotListen, match="no keys are configured") as raised:
        check_address(listen, keyed=False, allow_insecure=False)

    message = str(raised.value)
    assert message.startswith(listen)
    assert "`tollway keys new` makes one" in message
    assert "127.0.0.1 behind a proxy that authenticates" in message
    assert "--allow-insecure" in message


def test_a_private_network_may_be_listened_on_by_those_who_say_so() -> None:
    assert str(check_address("0.0.0.0:8080", keyed=False, allow_insecure=True)) == "0.0.0.0:8080"


def test_with_keys_every_address_may_be_listened_on() -> None:
    assert str(check_address("0.0.0.0:8080", keyed=True, allow_insecure=False)) == "0.0.0.0:8080"


@pytest.mark.parametrize("listen", ["8080", "", "127.0.0.1", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused_by_its_key(listen: str) -> None:
    with pytest.raises(CannotListen, match=r"http\.listen must be an address such as"):
        check_address(listen, keyed=True, allow_insecure=True)


async def test_a_port_that_is_taken_is_told_with_what_to_do(open_edge: OpenEdge) -> None:
    first = await open_edge()
    _, port = first.address

    with pytest.raises(CannotListen, match=f"127.0.0.1:{port} is in use: stop what listens there, or choose another"):
        await open_edge(listen=f"127.0.0.1:{port}")


async def test_an_address_that_is_not_here_is_told(open_edge: OpenEdge) -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:8080: "):
        await open_edge(listen="192.0.2.1:8080", allow_insecure=True)


async def test_a_port_left_open_is_told_in_the_url(open_edge: OpenEdge) -> None:
    edge = await open_edge(listen="127.0.0.1:0")

    host, port = edge.address
    assert host == "127.0.0.1"
    assert port > 0


async def test_a_socket_that_is_listened_on_is_not_taken_away(open_edge: OpenEdge, short_path: Path) -> None:
    await open_edge(listen=f"unix:{short_path}/edge.sock")

    with pytest.raises(CannotListen, match="another process already does"):
        await open_edge(listen=f"unix:{short_path}/edge.sock")


async def test_the_edge_may_listen_on_a_unix_socket(open_edge: OpenEdge, short_path: Path) -> None:
    path = f"{short_path}/edge.sock"
    edge = await open_edge(listen=f"unix:{path}")

    assert edge.gateway.url == f"unix:{path}"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
        session.get("http://edge/healthz") as response,
    ):
        assert response.status == 200
    await edge.gateway.close()
    assert list(short_path.iterdir()) == []  # noqa: ASYNC240 - a test may
