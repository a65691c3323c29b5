from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from services.router.domain.principal import LOCAL, Principal
from services.router.domain.routes import Deployment, Route, Routes
from services.router.handlers.list_models import ListModels, list_models
from tests.unit.services.router.twins import FakeProviders
from tollway.providers.v1.providers_pb2 import ProviderModel
from tollway.router.v1.router_pb2 import ListModelsResponse

LOADED = Timestamp(seconds=1_700_000_000)
ROUTES = Routes(
    [
        Route("gpt", (Deployment("openai", "gpt-5"), Deployment("azure", "gpt-5-eu")), ("sim/echo",), "The big one"),
        Route("sim/*", (Deployment("sim"),)),
        Route("sim/slow", (Deployment("sim", "text:rate=1"),), description="Mine"),
        Route("fast-*", (Deployment("sim", "echo"),)),
        Route("*", (Deployment("openai"),)),
    ]
)
KNOWN = [
    ProviderModel(provider="sim", model="echo", description="Says it again"),
    ProviderModel(provider="sim", model="slow", description="Says it slowly"),
]


async def listed(
    size: int = 0, token: str = "", routes: Routes = ROUTES, principal: Principal = LOCAL
) -> ListModelsResponse:
    providers = FakeProviders(VirtualClock())
    providers.models = KNOWN
    query = ListModels(size, token, principal=principal)
    return await list_models(query, routes=routes, providers=providers, loaded=LOADED)


async def test_aliases_are_listed_with_their_deployments_and_patterns_by_what_is_known() -> None:
    models = {model.name: model for model in (await listed()).models}
    assert list(models) == ["gpt", "sim/echo", "sim/slow"]
    gpt, echo = models["gpt"], models["sim/echo"]
    assert list(gpt.deployments) == ["openai/gpt-5", "azure/gpt-5-eu", "sim/echo"]
    assert (gpt.owner, gpt.description, gpt.create_time) == ("openai", "The big one", LOADED)
    assert list(echo.deployments) == ["sim/echo"]
    assert (echo.owner, echo.description) == ("sim", "Says it again")


async def test_an_alias_says_what_it_is_itself_even_where_a_pattern_covers_it() -> None:
    (slow,) = [model for model in (await listed()).models if model.name == "sim/slow"]
    assert (slow.description, list(slow.deployments)) == ("Mine", ["sim/text:rate=1"])


async def test_everything_else_is_not_asked_for_where_no_pattern_needs_it() -> None:
    routes = Routes([Route("gpt", (Deployment("openai", "gpt-5"),))])

    class Gone(FakeProviders):
        async def known_models(self) -> list[ProviderModel]:
            raise TollwayError(Reason.SERVICE_UNAVAILABLE, "")

    response = await list_models(ListModels(0, ""), routes=routes, providers=Gone(VirtualClock()), loaded=LOADED)
    assert [model.name for model in response.models] == ["gpt"]


async def test_pages_join_to_the_whole_list() -> None:
    names, token = [], ""
    for _ in range(3):
        page = await listed(1, token)
        names += [model.name for model in page.models]
        token = page.next_page_token
    assert names == ["gpt", "sim/echo", "sim/slow"]
    assert token == ""


async def test_a_page_that_holds_everything_is_the_last() -> None:
    assert (await listed(3)).next_page_token == ""


@pytest.mark.parametrize("token", ["rubbish!", "bm9wZQ==", "//8="])
async def test_a_page_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(TollwayError) as refused:
        await listed(1, token)
    assert refused.value.violations[0].field == "page_token"


async def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(TollwayError) as refused:
        await listed(-1)
    assert refused.value.violations[0].field == "page_size"


async def test_without_models_the_list_is_empty() -> None:
    assert await listed(routes=Routes([])) == ListModelsResponse()


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (("gpt",), ["gpt"]),
        (("sim/*",), ["sim/echo", "sim/slow"]),
        (("sim/s*", "gpt"), ["gpt", "sim/slow"]),
        (("o*",), []),
        # Behind a pattern there may be models that nobody knows without asking, and the key is known to be for one.
        (("openai/gpt-6", "gpt", "nothing/*"), ["gpt", "openai/gpt-6"]),
    ],
)
async def test_a_key_sees_what_it_may_ask_for(models: tuple[str, ...], names: list[str]) -> None:
    page = await listed(principal=Principal("t", "p", "k", models=models))
    assert [model.name for model in page.models] == names


async def test_a_key_turns_pages_of_its_own_list() -> None:
    mine = Principal("t", "p", "k", models=("gpt", "sim/slow"))
    first = await listed(1, principal=mine)
    second = await listed(1, first.next_page_token, principal=mine)
    assert [model.name for page in (first, second) for model in page.models] == ["gpt", "sim/slow"]
    assert second.next_page_token == ""


async def test_a_name_of_the_key_that_nothing_answers_to_is_not_listed() -> None:
    routes = Routes([Route("gpt", (Deployment("openai", "gpt-5"),))])
    page = await listed(routes=routes, principal=Principal("t", "p", "k", models=("gpt", "gone")))
    assert [model.name for model in page.models] == ["gpt"]
