"""`tollway serve`: some of the services in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from mesh.telemetry.logs import configure_logging
from tollway_cli.configuration import load_or_refuse, secrets
from tollway_cli.placement import PlacementError, place
from tollway_cli.process import Listening, Node, run
from tollway_cli.refusal import refuse
from tollway_cli.scheduling import interrupt_nobody


def run_serve(
    names: str,
    listen: str,
    connect: str,
    config_file: Path | None,
    data_dir: Path,
    *,
    allow_insecure: bool,
    worker: bool,
) -> None:
    config = load_or_refuse(config_file)
    try:
        placement = place(names, listen, connect, http=config.http.listen, grpc=config.grpc.listen)
    except PlacementError as error:
        refuse(str(error))
    configure_logging(config.telemetry.log_level, secrets=secrets(config))
    interrupt_nobody()
    node = Node(config, placement, data_dir, allow_insecure=allow_insecure, share_ports=worker)
    run(node, _announce, until_input_ends=worker)


def _announce(listening: Listening) -> None:
    places = {**({"gateway": listening.url} if listening.url else {}), **listening.grpc}
    sys.stdout.writelines(f"{name} is listening on {place}\n" for name, place in places.items())
    sys.stdout.flush()
