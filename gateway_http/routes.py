"""Which handler answers which method and path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway_http.errors import OPENAI
from gateway_http.exchange import ErrorShape, Exchange, Handler
from mesh.errors import Reason, TollwayError

_LONGEST_PATH_SHOWN = 128


@dataclass(frozen=True, slots=True)
class Route:
    """A path, or all paths below one where `template` ends in a name in braces. Quiet routes leave no spans.

    `errors_of` makes the shape of errors that name their request, out of its id; `id_header` is a header that does,
    beside `x-request-id`.
    """

    template: str
    handlers: Mapping[str, Handler]
    quiet: bool = False
    errors: ErrorShape = OPENAI
    errors_of: Callable[[str], ErrorShape] | None = None
    id_header: str = ""

    @property
    def allow(self) -> str:
        return ", ".join((*self.handlers, *(("HEAD",) if "GET" in self.handlers else ()), "OPTIONS"))


class Routes:
    """Finds a path's route, and a route's handler."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._below: list[tuple[str, Route]] = []
        for route in routes:
            prefix, brace, _ = route.template.partition("{")
            if brace:
                self._below.append((prefix, route))
            else:
                self._exact[route.template] = route

    def find(self, path: str) -> Route | None:
        route = self._exact.get(path)
        if route is not None:
            return route
        return next((route for prefix, route in self._below if path.startswith(prefix) and path != prefix), None)


def handler_of(route: Route | None, method: str, path: str) -> Handler:
    """The handler of a request. Raises ROUTE_NOT_FOUND and METHOD_NOT_ALLOWED."""
    if route is None:
        shown = path[:_LONGEST_PATH_SHOWN].encode("utf-8", "replace").decode()
        raise TollwayError(Reason.ROUTE_NOT_FOUND, f"there is nothing at {method} {shown}")
    handler = route.handlers.get("GET" if method == "HEAD" else method)
    if handler is not None:
        return handler
    if method == "OPTIONS":
        return _Options(route.allow)
    raise TollwayError(Reason.METHOD_NOT_ALLOWED, f"{route.template} answers to {route.allow}", {"allow": route.allow})


class _Options:
    def __init__(self, allow: str) -> None:
        self._allow = allow

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        return web.Response(status=204, headers={"allow": self._allow})
