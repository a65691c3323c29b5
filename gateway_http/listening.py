"""Where the edge listens, and where it will not."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress

from gateway_http.connection import Server
from mesh.config.addresses import TcpAddress, UnixAddress, parse_address
from mesh.listening import SOCKET_MODE, CannotListen, clear_socket

_BACKLOG = 1024


def check_address(listen: str, *, keyed: bool, allow_insecure: bool) -> TcpAddress | UnixAddress:
    """The address, if it may be listened on: without keys everyone who reaches it may spend. Raises CannotListen."""
    try:
        address = parse_address(listen)
    except ValueError as error:
        raise CannotListen(f"http.listen {error}") from None
    if address.loopback or keyed or allow_insecure:
        return address
    raise CannotListen(
        f"{address} can be reached from other machines, and no keys are configured, so anyone could spend your money: "
        "configure keys (`tollway keys new` makes one), or listen on 127.0.0.1 behind a proxy that authenticates, or, "
        "in a private network, run `tollway serve gateway` with --allow-insecure."
    )


class Listener:
    """An open door: `url` is how to reach it."""

    def __init__(self, server: asyncio.AbstractServer, address: TcpAddress | UnixAddress, url: str) -> None:
        self._server, self._address, self.url = server, address, url

    def close(self) -> None:
        """Lets nobody else in. Connections that stand are left alone."""
        self._server.close()
        if isinstance(self._address, UnixAddress):
            with suppress(FileNotFoundError):
                os.unlink(self._address.path)


async def listen(server: Server, address: TcpAddress | UnixAddress, *, share_port: bool = False) -> Listener:
    """Opens the address; with `share_port`, beside other processes. Raises CannotListen."""
    loop = asyncio.get_running_loop()
    try:
        if isinstance(address, UnixAddress):
            clear_socket(address)
            unix = await loop.create_unix_server(server, address.path, backlog=_BACKLOG)
            os.chmod(address.path, SOCKET_MODE)
            return Listener(unix, address, str(address))
        tcp = await loop.create_server(
            server, address.host, address.port, backlog=_BACKLOG, reuse_port=share_port or None
        )
    except OSError as error:
        raise CannotListen(_reason(address, error)) from error
    port = tcp.sockets[0].getsockname()[1]
    return Listener(tcp, address, f"http://{TcpAddress(address.host, port)}")


def _reason(address: TcpAddress | UnixAddress, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: stop what listens there, or choose another address (http.listen, --port)."
    return f"cannot listen on {address}: {os.strerror(error.errno) if error.errno else error}."
