"""Telling which models may be asked."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import invalid
from mesh.mediator import Query
from services.router.domain.principal import Principal
from services.router.domain.routes import Plan, Route, Routes
from services.router.handlers.caller import FromCaller
from services.router.ports import ProviderCalls
from tollway.providers.v1.providers_pb2 import ProviderModel
from tollway.router.v1.router_pb2 import ListModelsResponse, Model

LARGEST_PAGE = 1000


@dataclass(slots=True)
class ListModels(FromCaller, Query[ListModelsResponse]):
    """Asks for a page of the models that the caller may ask for; a size of 0 stands for the largest."""

    page_size: int
    page_token: str


async def list_models(
    query: ListModels, *, routes: Routes, providers: ProviderCalls, loaded: Timestamp
) -> ListModelsResponse:
    """A page of the models, in the order of the configuration, which was `loaded` then. Raises TollwayError.

    A pattern is listed as the names that its providers are known to have models for, if there are any, and those that
    the caller's key names.
    """
    if query.page_size < 0:
        raise invalid("page_size", "must not be negative")
    known: dict[str, list[ProviderModel]] = defaultdict(list)
    if any(_is_pattern(route) for route in routes):
        for model in await providers.known_models():
            known[model.provider].append(model)
    described = _permitted(_described_names(routes, known), routes, query.principal)
    names = list(described)
    start = _start(query.page_token, names)
    page = names[start : start + min(query.page_size or LARGEST_PAGE, LARGEST_PAGE)]
    plans = ((name, routes.plan(name)) for name in page)
    return ListModelsResponse(
        models=[_model(plan, described[name], loaded) for name, plan in plans if plan is not None],
        next_page_token=_token(page[-1]) if start + len(page) < len(names) else "",
    )


def _is_pattern(route: Route) -> bool:
    return route.name.endswith("*")


def _described_names(routes: Routes, known: Mapping[str, Sequence[ProviderModel]]) -> dict[str, str]:
    described: dict[str, str] = {}
    for route in routes:
        if not _is_pattern(route):
            described[route.name] = route.description
            continue
        for name, description in _names_of_pattern(route, known):
            described.setdefault(name, description or route.description)
    return described


def _permitted(described: dict[str, str], routes: Routes, principal: Principal) -> dict[str, str]:
    permitted = {name: description for name, description in described.items() if principal.may_ask(name)}
    for name in principal.models:
        plan = None if name.endswith("*") else routes.plan(name)
        if plan is not None:
            permitted.setdefault(name, plan.route.description)
    return permitted


def _names_of_pattern(route: Route, known: Mapping[str, Sequence[ProviderModel]]) -> Iterator[tuple[str, str]]:
    for deployment in route.deployments:
        if deployment.model in ("", "*"):  # under any other name it would not be that model
            for model in known.get(deployment.provider, ()):
                yield route.name[:-1] + model.model, model.description


def _model(plan: Plan, description: str, loaded: Timestamp) -> Model:
    return Model(
        name=plan.requested,
        deployments=[candidate.name for candidate in plan.candidates],
        description=description,
        create_time=loaded,
        owner=plan.candidates[0].deployment.provider,
    )


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _start(token: str, names: Sequence[str]) -> int:
    """Where the page after the one that ended with the token's name begins."""
    if not token:
        return 0
    try:
        return names.index(base64.b64decode(token, altchars=b"-_", validate=True).decode()) + 1
    except (binascii.Error, ValueError):
        raise invalid("page_token", "is not the next_page_token of a page of this list") from None
