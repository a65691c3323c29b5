"""What a router would say, told from its settings without starting one."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.mediator import Mediator, when
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.bootstrap import from_settings
from services.router.domain.circumstances import FindPrice
from services.router.domain.fleet import Fleet
from services.router.domain.principal import LOCAL
from services.router.domain.selection import Selection
from services.router.domain.settlement import set_time
from services.router.handlers.authentication import Permission
from services.router.handlers.behaviors import Validation, has_question
from services.router.handlers.explain_route import ExplainRoute, explain_route
from services.router.handlers.list_models import ListModels, list_models
from services.router.settings import RouterSettings
from tollway.router.v1.router_pb2 import ExplainRouteRequest, ExplainRouteResponse, Model


async def offered(settings: RouterSettings, *, providers: grpc.aio.Channel, clock: Clock) -> list[Model]:
    """The models that a router with these settings would list; nothing is started. Raises ValueError, TollwayError."""
    routes, calls, loaded = from_settings.routes(settings), GrpcProviderCalls(providers), Timestamp()
    set_time(loaded, clock.time())
    models: list[Model] = []
    token = ""
    while True:
        page = await list_models(ListModels(0, token), routes=routes, providers=calls, loaded=loaded)
        models.extend(page.models)
        token = page.next_page_token
        if not token:
            return models


async def explained(
    settings: RouterSettings,
    request: ExplainRouteRequest,
    *,
    key: str,
    project: str,
    tenant: str,
    clock: Clock,
    find_price: FindPrice,
) -> ExplainRouteResponse:
    """Where a router with these settings would send the question, were it just started; nothing is.

    Empty names of who asks stand for those of the key, if it is a configured one, else of an unknown local caller. It
    knows the prices that are found for it, and of no deployment how it stands. Raises ValueError, TollwayError.
    """
    holder = next((from_settings.principal(each) for each in settings.keys if each.name == key), None)
    who = holder or replace(LOCAL, key=key or LOCAL.key)
    who = replace(who, project=project or who.project, tenant=tenant or who.tenant)
    tags = who.tagged(request.tags)
    question = ExplainRoute(
        request.chat, "", tags, None, None, request.preferences, principal=who, streamed=request.streamed
    )
    routes, rules = from_settings.routes(settings), from_settings.rules(settings)
    selection = Selection(routes, rules, Fleet(), random.Random(), find_price)
    handler = partial(explain_route, selection=selection, clock=clock, longest_wait=settings.retry_after_wait)
    around = [when(has_question, Validation(settings.max_messages)), Permission()]
    return await Mediator([(ExplainRoute, handler)], behaviors=around).send(question)
