"""How a call shows who pays for it. Each dialect names the kind its providers ask for."""

from __future__ import annotations

from collections.abc import Mapping

_HEADERS: Mapping[str, tuple[str, str]] = {
    "bearer": ("authorization", "Bearer "),
    "api-key": ("api-key", ""),
    "x-api-key": ("x-api-key", ""),
    "x-goog-api-key": ("x-goog-api-key", ""),
}
"""By kind: the header that an API key is sent in, and what stands before it there."""


def key_headers(kind: str, secret: str) -> Mapping[str, str]:
    """The headers of an API key. None for no key: local servers ask for none."""
    name, before = _HEADERS[kind]
    return {name: f"{before}{secret}"} if secret else {}
