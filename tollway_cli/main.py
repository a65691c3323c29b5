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
KeyOption = Annotated[str, typer.Option("--key", envvar="TOLLWAY_KEY", help="The key to show where --connect leads.")]
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
    key: KeyOption = "",
    config: ConfigOption = None,
) -> None:
    """List the models that may be asked."""
    from tollway_cli.models import run_models

    run_models(connect, key, config)


@app.command()
def explain(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="The name asked for, and those to ask after it.")
    ],
    message: Annotated[str, typer.Option(help="What is said.")] = "Hello!",
    tokens: Annotated[int, typer.Option(min=0, max=10_000_000, help="Make it about as many tokens long.")] = 0,
    tools: Annotated[bool, typer.Option("--tools", help="It brings tools along.")] = False,
    vision: Annotated[bool, typer.Option("--vision", help="It shows a picture.")] = False,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="It wants JSON by a schema.")] = False,
    session: Annotated[str, typer.Option(help="The session it belongs to.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A label, name or name:value; may be repeated.")] = None,
    as_key: Annotated[str, typer.Option(help="The name of the API key that asks.")] = "",
    project: Annotated[str, typer.Option(help="The project on whose account it is.")] = "",
    tenant: Annotated[str, typer.Option(help="The tenant on whose account it is.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    connect: Annotated[
        str, typer.Option(help="Ask a router at this address, which knows how deployments stand, and all prices.")
    ] = "",
    key: KeyOption = "",
    config: ConfigOption = None,
) -> None:
    """Tell where a question would go, in which order, and why nowhere else. Nobody is called."""
    from tollway_cli.explain import Asked, run_explain

    asked = Asked(models, message, tokens, tools, vision, json_schema, session, tag or [], as_key, project, tenant)
    run_explain(asked, as_json=json, connect=connect, key=key, config=config)


@app.command()
def deployments(
    connect: Annotated[str, typer.Option(help="The router's address.")] = "127.0.0.1:50051",
    provider: Annotated[str, typer.Option(help="Only this provider's.")] = "",
    key: KeyOption = "",
    config: ConfigOption = None,
) -> None:
    """Show how deployments stand at a router: ready, left alone, offline or out of quota, how busy and how fast."""
    from tollway_cli.deployments import run_deployments

    run_deployments(connect, provider, key, config)


@app.command()
def spend(
    by: Annotated[
        str,
        typer.Option(
            help="Of model, model-used, provider, deployment, day, project, key, tenant, tag; several with commas."
        ),
    ] = "model",
    since: Annotated[
        str, typer.Option(help="From this time on: 2026-11-20, 2026-11-20T10:00Z, or 7d for the last week.")
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    rows: Annotated[
        int, typer.Option(min=0, max=1000, help="List the newest attempts, one a row, rather than sums.")
    ] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for programs; amounts in nano-USD.")
    ] = False,
    connect: Annotated[str, typer.Option(help="Ask a ledger at this address, rather than read --data-dir.")] = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Show what was spent, and on what."""
    from tollway_cli.spend import run_spend

    run_spend(by, since, until, rows, as_json=json, connect=connect, key=key, data_dir=data_dir, config=config)


keys = typer.Typer(help="Make API keys, and see who has one.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="What the key is called in the ledger, in traces and in errors.")],
    tenant: Annotated[str, typer.Option(help="On whose account its questions are booked.")] = "default",
    project: Annotated[str, typer.Option(help="Within the tenant.")] = "default",
    tags: Annotated[str, typer.Option(help="Labels added to each question; several with commas.")] = "",
    models: Annotated[str, typer.Option(help="Names or patterns that may be asked for.")] = "*",
    role: Annotated[str, typer.Option(help="caller, operator or admin.")] = "caller",
    expires: Annotated[str, typer.Option(help="2027-01-31, 2027-01-31T18:00Z, or 90d from now; empty: never.")] = "",
) -> None:
    """Make a key. It is shown this once, with the entry for the configuration, which does not hold it.

    Example: tollway keys new ci --project demo --models 'gpt-4o,claude-*' --expires 90d
    """
    from tollway_cli.keys import run_new

    run_new(name, tenant=tenant, project=project, tags=tags, models=models, role=role, expires=expires)


@keys.command("list")
def list_keys(config: ConfigOption = None) -> None:
    """List the configured keys by name, never the keys themselves."""
    from tollway_cli.keys import run_list

    run_list(config)


ConnectOption = Annotated[
    str, typer.Option("--connect", help="Ask a ledger at this address, rather than open its database.")
]


@app.command()
def audit(
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line: findings, then the counts.")] = False,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Prove that the books agree with themselves, or name what does not, with exit status 1.

    Every entry's postings sum to zero; every row equals its postings, and costs what its usage costs at the price it
    names; every balance is the sum of its account's postings; every daily total is the sum of its rows; what was spent
    of every budget is the sum of the rows that count to it, and what is granted what its leases have left.
    """
    from tollway_cli.audit import run_audit

    run_audit(as_json=json, connect=connect, key=key, data_dir=data_dir, config=config)


@app.command()
def reconcile(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="The export; usage and costs may be two files. -: standard input."),
    ],
    provider: Annotated[
        str, typer.Option(help="Whose export it is: openai, anthropic, or generic (day, model, and figures).")
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="The provider's name in the configuration; may be repeated. "
            "[default: openai, anthropic; with generic, all]"
        ),
    ] = None,
    tolerance: Annotated[str, typer.Option(help="Percent by which figures may differ.")] = "0%",
    rows: Annotated[
        int, typer.Option(min=0, max=10_000, help="Show the attempts behind what drifts, at most so many each.")
    ] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: days and models, then the total.")
    ] = False,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Hold a provider's usage export against the book, by day (UTC) and model; exit status 1 where they drift apart.

    Only the days from the export's first to its last are compared, and only the figures that it has. Where one side
    tells a model's snapshots apart and the other does not, they are taken together.
    """
    from tollway_cli.reconcile import run_reconcile

    run_reconcile(
        files,
        provider,
        name or [],
        tolerance,
        rows,
        as_json=json,
        connect=connect,
        key=key,
        data_dir=data_dir,
        config=config,
    )


@app.command()
def adjust(
    attempt: Annotated[str, typer.Argument(metavar="ATTEMPT_ID", help="As `tollway spend --rows 20 --json` has it.")],
    cost: Annotated[str, typer.Option(help="What it is to cost in all, such as $0.0125.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the book.")],
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Make an attempt cost another amount, by postings beside those there are; its row stays as it is."""
    from tollway_cli.adjust import run_adjust

    run_adjust(attempt, cost, reason, connect, key, data_dir, config)


budgets = typer.Typer(help="Show how budgets stand, set them and end them.")
app.add_typer(budgets, name="budgets")

WindowOption = Annotated[
    str, typer.Option("--window", help="day, week, month, total, or how long what was spent counts, such as 6h.")
]
ZoneOption = Annotated[str, typer.Option("--time-zone", help="Where days, weeks and months begin.")]


@budgets.callback(invoke_without_command=True)
def list_budgets(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line: budgets, then how they stand.")] = False,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Show how budgets stand: what is spent, what routers hold to spend, and what is left; with a command, do something
    else about budgets.

    Where a budget is everyone's own (`key:*`), those who spent most of it. Options of a command come behind it.
    """
    from tollway_cli.budgets import Source, run_list
    from tollway_cli.refusal import refuse_before

    if context.invoked_subcommand is None:
        run_list(Source(connect, key, data_dir, config), as_json=json)
    else:
        refuse_before(context.invoked_subcommand, context)


@budgets.command("set")
def set_budget(
    scope: Annotated[str, typer.Argument(help="tenant:, project:, key:, tag: or model: and a name, or *.")],
    limit: Annotated[str, typer.Argument(help="What may be spent, such as $100.")],
    window: WindowOption = "month",
    time_zone: ZoneOption = "UTC",
    soft: Annotated[
        bool | None, typer.Option("--soft/--hard", help="Report only, or refuse what is beyond it. [default: hard]")
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="Per cent of the limit that are told when reached. [default: 50,80,100]")
    ] = None,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Make a budget, or change the one of that scope and window; what was spent of it stays spent.

    Example: tollway budgets set project:demo '$100'
    """
    from tollway_cli.budgets import Source, run_set

    run_set(Source(connect, key, data_dir, config), scope, limit, window, time_zone, soft, thresholds)


@budgets.command("end")
def end_budget(
    scope: Annotated[str, typer.Argument(help="As `tollway budgets` has it, before the slash.")],
    window: WindowOption = "month",
    time_zone: ZoneOption = "UTC",
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """End a budget: it refuses nobody any more. What was spent of it is kept, and counts if it is made again."""
    from tollway_cli.budgets import Source, run_end

    run_end(Source(connect, key, data_dir, config), scope, window, time_zone)


prices = typer.Typer(help="Show what models cost and who says so, and set it.", invoke_without_command=True)
app.add_typer(prices, name="prices")


@prices.callback()
def list_prices(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that no longer hold, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line; amounts in nano-USD.")] = False,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Show what models cost, now and from times to come; with a command, do something else about prices.

    Options of a command come behind it.
    """
    from tollway_cli.prices import run_list
    from tollway_cli.refusal import refuse_before

    if context.invoked_subcommand is None:
        run_list(every=every, as_json=json, connect=connect, key=key, data_dir=data_dir, config=config)
    else:
        refuse_before(context.invoked_subcommand, context)


ProviderArgument = Annotated[str, typer.Argument(help="The provider's name in the configuration.")]
ModelArgument = Annotated[str, typer.Argument(help="The provider's own name for the model; may end in a *.")]
FromOption = Annotated[str, typer.Option("--from", help="2027-01-31 or 2027-01-31T18:00Z; empty: now.")]


@prices.command("set")
def set_price(
    provider: ProviderArgument,
    model: ModelArgument,
    terms: Annotated[str, typer.Argument(help="As an entry of prices in the configuration, in quotes.")],
    since: FromOption = "",
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Set what a model costs from a time on, per 1M tokens. What is booked keeps its price.

    Example: tollway prices set openai gpt-5 'input: 1.25, output: 10, tiers: {batch: 50%}' --from 2027-01-01
    """
    from tollway_cli.prices import run_set

    run_set(provider, model, terms, since, connect, key, data_dir, config)


@prices.command("unset")
def unset_price(
    provider: ProviderArgument,
    model: ModelArgument,
    since: FromOption = "",
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Withdraw a model's price from a time on: what stands behind it holds, a pattern's price or the catalogue's."""
    from tollway_cli.prices import run_unset

    run_unset(provider, model, since, connect, key, data_dir, config)


@prices.command("unpriced")
def unpriced(
    since: Annotated[str, typer.Option(help="From this time on: 2026-11-20, 2026-11-20T10:00Z, or 7d.")] = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """List models of which calls were booked without a cost, because no price was known."""
    from tollway_cli.prices import run_unpriced

    run_unpriced(since, as_json=json, connect=connect, key=key, data_dir=data_dir, config=config)


@app.command()
def export(
    format: Annotated[str, typer.Option("--format", "-f", help="csv or parquet.")] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write. [default: standard output; csv alone]")
    ] = None,
    since: Annotated[str, typer.Option(help="From this time on: 2026-11-20, 2026-11-20T10:00Z, or 7d.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    connect: ConnectOption = "",
    key: KeyOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: ConfigOption = None,
) -> None:
    """Write single attempts to a file, newest first; amounts are whole nano-USD."""
    from tollway_cli.export import run_export

    run_export(format, out, since, until, connect, key, data_dir, config)


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
