"""Where something listens, and where something is reached."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")

_SCHEME = re.compile(r"dns:(//[^/]*/)?|ipv[46]:")
_ALL = {"0.0.0.0", "::"}
_SAME = {"localhost": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (no brackets around an IPv6 one) and a port; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name that needs looking up counts as reachable from outside."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str
    loopback = True

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """The place `host:port`, `[::1]:port` or `unix:/path` names. Raises ValueError for anything else."""
    if text.startswith("unix:") and len(text) > len("unix:") and "\0" not in text:
        path = text.removeprefix("unix:")
        return UnixAddress("/" + path.lstrip("/") if path.startswith("//") else path)
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("must be an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/tollway.sock")
    if match["six"]:
        try:
            ipaddress.IPv6Address(match["six"])
        except ValueError:
            raise ValueError("must have an IPv6 address between its brackets") from None
    return TcpAddress(match["six"] or match["host"], int(match["port"]))


def check_target(text: str) -> None:
    """Raises ValueError unless the text says where another service is, in gRPC's notation and with a port.

    That is a place, or one whose name gRPC looks up again and again: `dns:///name:port`.
    """
    place = _SCHEME.sub("", text)
    try:
        address = parse_address(place)
    except ValueError:
        address = None
    if not (address.port if isinstance(address, TcpAddress) else address and place == text):
        raise ValueError("must be an address such as 127.0.0.1:50051, dns:///router:50051 or unix:/run/router.sock")


def overlap(one: str, other: str) -> bool:
    """Whether nobody can listen at one address while somebody else does at the other."""
    first, second = parse_address(one), parse_address(other)
    if not isinstance(first, TcpAddress) or not isinstance(second, TcpAddress):
        return first == second
    hosts = {_SAME.get(first.host, first.host), _SAME.get(second.host, second.host)}
    return first.port == second.port != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_ALL))


def parse_http_url(text: str) -> str:
    """The URL without slashes at its end. Raises ValueError unless it is http(s), with a host and no query."""
    problem = "must be a URL such as https://api.example.com/v1"
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(problem)
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # an IPv6 host that is none, or a port beyond 65535
        raise ValueError(problem) from None
    if not usable:
        raise ValueError(problem)
    if "?" in text or "#" in text:
        raise ValueError("must be a URL without a query or fragment")
    return text.rstrip("/")
