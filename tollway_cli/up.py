"""`tollway up`: everything in one process, or in several that serve the same addresses."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

from mesh.config.addresses import TcpAddress, overlap, parse_address
from mesh.config.schema import Config
from mesh.state.connect import MEMORY
from mesh.telemetry.logs import configure_logging
from tollway_cli.banner import Served, render
from tollway_cli.configuration import load_or_refuse, secrets
from tollway_cli.placement import NAMES, Placement
from tollway_cli.process import Listening, Node, run
from tollway_cli.refusal import refuse
from tollway_cli.workers import Plan, Workers


def run_up(config_file: Path | None, data_dir: Path, port: int | None, grpc_port: int | None, workers: int) -> None:
    config = load_or_refuse(config_file)
    configure_logging(config.telemetry.log_level, secrets=secrets(config))
    http, grpc = _with_port(config.http.listen, port), _with_port(config.grpc.listen, grpc_port)
    if overlap(http, grpc):
        refuse(f"HTTP and gRPC need an address each, and {grpc} is both of theirs: change --port or --grpc-port.")

    def announce(listening: Listening) -> None:
        sys.stdout.write(render(_served(config, data_dir, listening, workers)))
        sys.stdout.flush()

    if workers == 1:
        run(Node(config, Placement(NAMES, {"gateway": http, "router": grpc, "ledger": grpc}, {}), data_dir), announce)
        return
    if config.state.url == MEMORY and "url" in config.state.model_fields_set:
        refuse(f"state.url is {MEMORY}, which workers cannot share: leave it out, or name a file or a Redis.")
    run(Workers(config, Plan(workers, http, grpc, data_dir, config_file)), announce)


def _with_port(listen: str, port: int | None) -> str:
    address = parse_address(listen)
    if port is None:
        return listen
    return str(TcpAddress(address.host if isinstance(address, TcpAddress) else "127.0.0.1", port))


def _served(config: Config, data_dir: Path, listening: Listening, workers: int) -> Served:
    return Served(
        version=version("tollway"),
        http=listening.url,
        grpc=listening.grpc["router"],
        data_dir=str(data_dir),
        workers=workers,
        models=tuple(config.models),
        keys=tuple(key.name for key in config.keys),
        traces=config.telemetry.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    )
