"""`tollway up`: everything in one process."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

from mesh.config.addresses import TcpAddress, parse_address
from mesh.config.schema import Config
from mesh.telemetry.logs import configure_logging
from tollway_cli.banner import Served, render
from tollway_cli.configuration import load_or_refuse, secrets
from tollway_cli.placement import NAMES, Placement
from tollway_cli.process import Listening, Node, run


def run_up(config_file: Path | None, data_dir: Path, port: int | None, grpc_port: int | None) -> None:
    config = load_or_refuse(config_file)
    configure_logging(config.telemetry.log_level, secrets=secrets(config))
    listen = {
        "gateway": _with_port(config.http.listen, port),
        "router": (grpc := _with_port(config.grpc.listen, grpc_port)),
        "ledger": grpc,
    }
    node = Node(config, Placement(NAMES, listen, {}), data_dir, allow_insecure=False)

    def announce(listening: Listening) -> None:
        sys.stdout.write(render(_served(config, data_dir, listening)))
        sys.stdout.flush()

    run(node, announce)


def _with_port(listen: str, port: int | None) -> str:
    address = parse_address(listen)
    if port is None:
        return listen
    return str(TcpAddress(address.host if isinstance(address, TcpAddress) else "127.0.0.1", port))


def _served(config: Config, data_dir: Path, listening: Listening) -> Served:
    return Served(
        version=version("tollway"),
        http=listening.url,
        grpc=listening.grpc["router"],
        data_dir=str(data_dir),
        models=tuple(config.models),
        keys=tuple(key.name for key in config.keys),
        traces=config.telemetry.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    )
