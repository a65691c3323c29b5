from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc

from mesh.clock import SystemClock
from mesh.config.schema import Config
from mesh.metrics import NoMetrics
from mesh.service import Service
from mesh.tracing import NoTracer
from services.providers import bootstrap
from services.providers.adapters.sim.behaviour import CATALOGUE
from services.providers.adapters.sim.server import Sim
from services.providers.settings import ProvidersSettings
from tests.unit.services.providers.house import House, open_house, text_of
from tollway.providers.v1 import providers_pb2

WITHOUT_AIOHTTP = """
import asyncio, sys
from mesh.clock import SystemClock
from mesh.config.schema import Config
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.providers import bootstrap
from services.providers.settings import ProvidersSettings
settings = ProvidersSettings.from_config(Config.model_validate({"providers": {"sim": {"dialect": "sim"}}}), None)
asyncio.run(bootstrap.start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics()))
sys.exit("aiohttp" in sys.modules)
"""


async def listed(house: House, provider: str = "") -> list[tuple[str, str]]:
    response = await house.stub.ListProviderModels(providers_pb2.ListProviderModelsRequest(provider=provider))
    assert all(model.description for model in response.models)
    return [(model.provider, model.model) for model in response.models]


async def test_models_are_listed_of_the_providers_that_are_known_without_asking() -> None:
    providers = {"b": {"dialect": "sim"}, "openai": {"api_key": "k"}, "a": {"dialect": "sim"}}
    async with open_house(providers) as house:
        names = [model.name for model in CATALOGUE]
        assert await listed(house) == [(provider, name) for provider in ("b", "a") for name in names]
        assert await listed(house, "a") == [("a", name) for name in names]
        assert await listed(house, "openai") == await listed(house, "nobody") == []


async def test_it_is_a_service_like_any_other() -> None:
    settings = ProvidersSettings.from_config(Config.model_validate({"providers": {"openai": {}}}), Path("unused"))
    runtime = await bootstrap.start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    service: Service = runtime
    assert (service.name, service.proto_services) == ("providers", ("tollway.providers.v1.ProviderService",))
    assert service.hops == {}
    server = grpc.aio.server()
    service.register(server)
    await service.close()


async def test_a_sim_with_an_address_is_one_that_runs_elsewhere(sim_server: Sim) -> None:
    elsewhere = {"dialect": "sim", "base_url": f"http://127.0.0.1:{sim_server.port}/v1"}
    async with open_house({"sim": elsewhere}) as house:
        assert text_of(await house.stream("echo")) == "Hi"
        (span,) = [span for span in house.telemetry.spans if span.name == "POST"]
        assert span.attributes["server.port"] == sim_server.port


async def test_each_sim_behaves_as_its_own_configuration_says() -> None:
    providers = {"long": {"dialect": "sim", "sim": {"tokens": 50}}, "short": {"dialect": "sim", "sim": {"tokens": 5}}}
    async with open_house(providers) as house:
        for name, tokens in (("long", 50), ("short", 5)):
            assert (await house.create("sim", name)).chat.usage.output_tokens == tokens


def test_settings_do_not_show_what_may_be_secret() -> None:
    provider = {"api_key": "sk-secret", "base_url": "http://u:pass@h/v1", "headers": {"x-key": "hidden"}}
    config = Config.model_validate({"providers": {"p": provider}})
    shown = repr(ProvidersSettings.from_config(config, Path("unused")))
    assert "'p'" in shown
    assert not any(secret in shown for secret in ("sk-secret", "pass", "hidden"))


def test_the_http_client_is_not_loaded_where_nobody_has_to_be_reached() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_AIOHTTP], check=False).returncode == 0
