"""What the edge takes from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.config.schema import Config


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Sizes in bytes, times in seconds. `listen` is an address as `mesh.config.addresses` reads them."""

    listen: str = "127.0.0.1:8080"
    max_body: int = 32 * 2**20
    max_messages: int = 2048
    body_timeout: float = 30.0
    drain: float = 30.0
    hosts: tuple[str, ...] = ()
    keyed: bool = False
    """Whether callers are asked for a key, by the router."""
    allow_insecure: bool = False
    """Whether to listen beyond this machine though no keys are configured."""
    share_port: bool = False
    """Whether other processes may listen at the same port."""

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> GatewaySettings:
        http = config.http
        return cls(
            listen=http.listen,
            max_body=http.max_body,
            max_messages=http.max_messages,
            body_timeout=http.body_timeout,
            drain=http.drain,
            hosts=http.hosts,
            keyed=bool(config.keys),
        )
