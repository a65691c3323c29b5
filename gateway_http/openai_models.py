"""`GET /v1/models` and `/v1/models/{id}`: the models the router offers, in OpenAI's JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway_http.exchange import Exchange
from gateway_http.json_output import encode_json
from gateway_http.request_headers import call_metadata
from mesh.config.patterns import find
from mesh.errors import Reason, TollwayError
from tollway.router.v1.router_pb2 import ListModelsRequest, Model

if TYPE_CHECKING:  # the name exists for the type checker alone
    from tollway.router.v1.router_pb2_grpc import RouterServiceAsyncStub

PATH = "/v1/models"
_PAGE = 1000


class Models:
    """The handlers."""

    def __init__(self, router: RouterServiceAsyncStub) -> None:
        self._router = router

    async def list_all(self, exchange: Exchange) -> web.StreamResponse:
        models = await self._models(exchange)
        return _json({"object": "list", "data": [_model(model, model.name) for model in models]})

    async def get_one(self, exchange: Exchange) -> web.StreamResponse:
        """A name that only a pattern stands for (`openai/*`) is a model, too."""
        asked = exchange.request.path.removeprefix(f"{PATH}/")
        by_name = {model.name: model for model in await self._models(exchange)}
        entry = find(by_name, asked)
        if entry is None:
            raise TollwayError(Reason.MODEL_NOT_FOUND, f"there is no model {_printable(asked)!r}")
        return _json(_model(by_name[entry], asked))

    async def _models(self, exchange: Exchange) -> list[Model]:
        metadata = call_metadata(exchange.request.headers, exchange.span.context)
        models: list[Model] = []
        page_token = ""
        while True:
            request = ListModelsRequest(page_size=_PAGE, page_token=page_token)
            page = await self._router.ListModels(request, metadata=metadata)
            models += page.models
            page_token = page.next_page_token
            if not page_token:
                return models


def _model(model: Model, name: str) -> dict[str, Any]:
    result = {
        "id": name,
        "object": "model",
        "created": model.create_time.seconds,
        "owned_by": model.owner or "tollway",
    }
    if model.description:
        result["description"] = model.description
    return result


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=encode_json(body), headers={"content-type": "application/json"})
