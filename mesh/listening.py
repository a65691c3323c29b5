"""Where a server may listen, and how it comes to."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Protocol

import grpc

from mesh.config.addresses import TcpAddress, UnixAddress, parse_address

SOCKET_MODE = 0o660
"""Whoever may connect to a unix socket: its owner and group."""


class CannotListen(Exception):
    """A server cannot listen where it was told to. The message is a sentence for the person who told it."""


class Tls(Protocol):
    """PEM files: a certificate chain, its key and, for mutual TLS, the authority the other side must be signed by."""

    @property
    def cert(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def client_ca(self) -> str: ...


def refuse_exposed(address: str, tls: Tls | None, allow_insecure: bool, *, keyed: bool) -> None:
    """Lets services listen beyond this machine only where nobody can listen in and callers are known.

    They are by a certificate of their own, or where `keyed`, by a key that they are asked for. `allow_insecure` says
    that the network is private. Raises CannotListen, and for an address that cannot be read ValueError.
    """
    if parse_address(address).loopback or allow_insecure:
        return
    missing: dict[str, str] = {}
    if tls is None:
        missing["is encrypted"] = "grpc.tls"
    if not (keyed or (tls is not None and tls.client_ca)):
        missing["checks who calls"] = "grpc.tls.client_ca (for the router's address, keys will do)"
    if missing:
        raise CannotListen(
            f"{address} can be reached from other machines, and nothing there {' or '.join(missing)}: set "
            f"{' and '.join(missing.values())}, or listen on 127.0.0.1 or a unix socket, or, in a private network, run "
            "`tollway serve` with --allow-insecure."
        )


def bind(server: grpc.aio.Server, address: str, tls: Tls | None, *, shared: bool = False) -> str:
    """Binds a server to an address, and answers with the address it has (with the port that port 0 became).

    A socket file that nobody listens on is removed first. `shared`: other processes may listen at the same port. Raises
    CannotListen.
    """
    place = parse_address(address)
    if isinstance(place, UnixAddress):
        clear_socket(place)
    elif place.port and not shared:
        check_free(place)
    credentials = server_credentials(tls) if tls else None
    try:
        port = server.add_secure_port(str(place), credentials) if credentials else server.add_insecure_port(str(place))
    except RuntimeError as error:
        raise CannotListen(f"cannot listen on {address}: {error}") from error
    if isinstance(place, TcpAddress):
        return str(TcpAddress(place.host, port))
    os.chmod(place.path, SOCKET_MODE)
    return str(place)


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """What a server shows, and with a `client_ca` demands. Raises CannotListen for a file that cannot be read."""
    authority = _read(tls.client_ca) if tls.client_ca else None
    chain = [(_read(tls.key), _read(tls.cert))]
    return grpc.ssl_server_credentials(chain, authority, require_client_auth=authority is not None)


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """What a service shows when it calls another: the same certificate, trusting the same authority.

    Without a `client_ca` it trusts whom the system trusts. Raises CannotListen for a file that cannot be read.
    """
    authority = _read(tls.client_ca) if tls.client_ca else None
    return grpc.ssl_channel_credentials(authority, _read(tls.key), _read(tls.cert))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CannotListen(f"the TLS file {path} cannot be read: {error.strerror}") from error


def clear_socket(address: UnixAddress) -> None:
    """Makes way for a new socket: removes a file that nobody listens on any more. Raises CannotListen."""
    path = Path(address.path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CannotListen(f"cannot listen on {address}: there is no folder {path.parent}") from None
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListen(f"cannot listen on {address}: a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # left behind by a process that was killed
            return
        except OSError as error:
            raise CannotListen(f"cannot listen on {address}: {error.strerror}") from error
    raise CannotListen(f"cannot listen on {address}: another process already does")


def check_free(place: TcpAddress) -> None:
    """Tells of a taken port in words; gRPC would write a stack of its own to stderr, or share the port silently.

    Raises CannotListen.
    """
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
    except OSError as error:
        raise CannotListen(f"cannot listen on {place}: {error.strerror or error}") from error
