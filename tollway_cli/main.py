"""The commands and their options. What each does is in the module of its name, imported when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="tollway",
    help="An LLM gateway as a gRPC mesh: no answer is dropped, no cent is lost, nothing is hidden.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="TOLLWAY_CONFIG", help="The configuration. [default: ./tollway.yaml, if any]"
    ),
]
DataDirOption = Annotated[
    Path, typer.Option("--data-dir", envvar="TOLLWAY_DATA_DIR", help="Where the ledger and the journal are kept.")
]
DATA_DIR = Path(".tollway")


@app.command()
def up(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTP port. [default: http.listen]")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port. [default: grpc.listen]")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve these ports, and share limits and the ledger.")
    ] = 1,
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Run the whole mesh in one process, or with --workers in several.

    Workers serve the gateway and the router; the process that looks after them has the ledger, at ledger.sock in the
    data directory.
    """
    if workers > 1:
        # What is forked here becomes another program at once: gRPC has nothing to prepare, and would say so each time.
        # It reads this while it is imported.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from tollway_cli.up import run_up

    run_up(config, data_dir, port, grpc_port, workers)


@app.command()
def serve(
    names: Annotated[str, typer.Argument(metavar="NAME[,NAME…]", help="Of gateway, router, providers, ledger.")],
    listen: Annotated[
        str, typer.Option(help="host:port or unix:/path; where several services run, NAME=ADDRESS,…")
    ] = "",
    connect: Annotated[str, typer.Option(help="Where the others are: NAME=TARGET,…")] = "",
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure", help="Listen beyond this machine in clear text (a private network).")
    ] = False,
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
) -> None:
    """Run some of the services in this process.

    Example: tollway serve router --listen unix:/run/r.sock --connect providers=unix:/run/p.sock,ledger=unix:/run/l.sock
    """
    from tollway_cli.serve import run_serve

    run_serve(names, listen, connect, config, data_dir, allow_insecure=allow_insecure, worker=worker)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Check the configuration; every problem is told at once, with its path and line."""
    from tollway_cli.check import run_check

    run_check(config)


@app.command()
def models(
    connect: Annotated[str, typer.Option(help="Ask a router at this address, rather than the configuration.")] = "",
    config: ConfigOption = None,
) -> None:
    """List the models that may be asked."""
    from tollway_cli.models import run_models

    run_models(connect, config)


@app.command()
def spend(
    by: Annotated[
        str,
        typer.Option(
            help="Of model, model-used, provider, deployment, day, project, key, tenant; several with commas."
        ),
    ] = "model",
    since: Annotated[
        str, typer.Option(help="From this time on: 2026-11-20, 2026-11-20T10:00Z, or 7d for the last week.")
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    rows: Annotated[int, typer.Option(min=0, help="List the newest attempts, one a row, rather than sums.")] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for programs; amounts in nano-USD.")
    ] = False,
    connect: Annotated[str, typer.Option(help="Ask a ledger at this address, rather than read --data-dir.")] = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Show what was spent, and on what."""
    from tollway_cli.spend import run_spend

    run_spend(by, since, until, rows, as_json=json, connect=connect, data_dir=data_dir, config=config)


@app.command()
def sim(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 9100,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    ttft: Annotated[str, typer.Option(help="Time to first token.")] = "0s",
    rate: Annotated[float, typer.Option(min=0, help="Tokens per second; 0: as fast as can be.")] = 0,
    tokens: Annotated[int, typer.Option(min=0, help="Length of a generated answer.")] = 20,
) -> None:
    """Serve the built-in model alone, as an OpenAI-compatible HTTP server with faults on demand."""
    from tollway_cli.sim import run_sim

    run_sim(host, port, ttft, rate, tokens)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version

    typer.echo(f"tollway {version('tollway')}")


def main() -> None:
    app()
