"""`tollway models`: the names that may be asked for, and who is behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from rich.table import Table

from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.server import Server
from mesh.status import from_rpc_error
from mesh.tracing import NoTracer
from tollway.router.v1 import router_pb2
from tollway.router.v1.router_pb2_grpc import RouterServiceStub
from tollway_cli.asking import Metadata, channel, metadata, sentence
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub

_TIMEOUT = 30.0


def models_table(models: Sequence[router_pb2.Model]) -> Table:
    """Models, one a row."""
    table = Table(box=None, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("", overflow="fold")
    for model in models:
        behind = "" if list(model.deployments) == [model.name] else "→ " + ", ".join(model.deployments)
        table.add_row(model.name, " ".join(filter(None, (model.description, behind))))
    return table


def run_models(connect: str, key: str, config_file: Path | None) -> None:
    models = asyncio.run(_asked(connect, metadata(key), config_file) if connect else _configured(config_file))
    console().print(models_table(models))


async def _asked(target: str, shown: Metadata, config_file: Path | None) -> list[router_pb2.Model]:
    async with channel(target, config_file) as to_router:
        try:
            return await _all(RouterServiceStub(to_router), shown)
        except grpc.aio.AioRpcError as error:
            refuse(f"the router at {target} did not tell: {sentence(from_rpc_error(error))}")


async def _all(router: RouterServiceAsyncStub, shown: Metadata) -> list[router_pb2.Model]:
    models: list[router_pb2.Model] = []
    token = ""
    while True:
        request = router_pb2.ListModelsRequest(page_token=token)
        page = await router.ListModels(request, timeout=_TIMEOUT, metadata=shown)
        models.extend(page.models)
        token = page.next_page_token
        if not token:
            return models


async def _configured(config_file: Path | None) -> list[router_pb2.Model]:
    """The models of the configuration, told by services that are put together here and call nobody."""
    from services.providers import bootstrap as providers
    from services.providers.settings import ProvidersSettings
    from services.router.bootstrap import unstarted
    from services.router.settings import RouterSettings

    config, clock, tracer, metrics = load_or_refuse(config_file), SystemClock(), NoTracer(), NoMetrics()
    server = Server(tracer=tracer, metrics=metrics, clock=clock)
    nowhere = Path()
    service = await providers.start(
        ProvidersSettings.from_config(config, nowhere), clock=clock, tracer=tracer, metrics=metrics
    )
    server.add(service)
    try:
        settings = RouterSettings.from_config(config, nowhere)
        return await unstarted.offered(settings, providers=server.channel(), clock=clock)
    finally:
        await server.close()
        await service.close()
