"""How a call shows who pays for it. Each dialect names the kind its providers ask for."""

from __future__ import annotations

from collections.abc import Mapping


def bearer(secret: str) -> Mapping[str, str]:
    """The headers of an API key sent as a bearer token. None for no key: local servers ask for none."""
    return {"authorization": f"Bearer {secret}"} if secret else {}
