"""Turning away what web pages send, where nobody is asked for a key.

A browser lets every page send requests to this machine. One that is sent from another site says so in `Origin`; one of
a site whose name was made to lead to this machine (DNS rebinding) has that name in `Host`. Neither header can be
changed by a page, and programs that are no browsers send no `Origin`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from gateway_http.request_headers import Headers
from mesh.errors import Reason, TollwayError

_VALUES_KEPT = 256
_SHOWN = 128


class SameSite:
    """Lets requests of this machine in, and of `hosts`. `check_host`: whether `Host` has to name one of them, too."""

    def __init__(self, hosts: Collection[str], *, check_host: bool) -> None:
        self._hosts, self._check_host = frozenset(hosts), check_host
        # Clients repeat themselves, so what was said about a header is kept.
        self._is_ours = lru_cache(_VALUES_KEPT)(self._names_us)

    def check(self, headers: Headers) -> None:
        """Raises PERMISSION_DENIED for a request that another site's page may have sent."""
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin):
            raise _refused("was sent by a web page of another site", "Origin", origin)
        if self._check_host:
            host = headers.get("host")
            if host and not self._is_ours(f"//{host}"):
                raise _refused("was sent to another host's name", "Host", host)

    def _names_us(self, url: str) -> bool:
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:  # brackets without an IPv6 address
            return False
        host = host.rstrip(".")
        return host in self._hosts or host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(what: str, header: str, value: str) -> TollwayError:
    return TollwayError(
        Reason.PERMISSION_DENIED,
        f"This request {what} ({header}: {value[:_SHOWN]!r}), and without keys only this machine is served: configure "
        "keys, or, if that name is meant to lead here, have it in http.hosts.",
    )
