"""`GET /openapi.json` and `GET /docs`: what the edge does, for programs and for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

from aiohttp import web

from gateway_http.exchange import Exchange
from gateway_http.json_output import encode_json

PATHS = ("/openapi.json", "/docs")
_PAGE = Path(__file__).with_name("docs.html")
_POLICY = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The page may ask for the document, and for nothing anywhere else."""


class Documentation:
    """The handlers. `served` are the templates of the edge's routes."""

    def __init__(self, served: Collection[str]) -> None:
        self._served = tuple(served)

    async def document(self, exchange: Exchange) -> web.StreamResponse:
        body = _document(self._served)
        return web.Response(body=body, headers={"content-type": "application/json"})

    async def page(self, exchange: Exchange) -> web.StreamResponse:
        headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": _POLICY}
        return web.Response(body=_page(), headers=headers)


@cache
def _page() -> bytes:
    return _PAGE.read_bytes()


@cache
def _document(served: Sequence[str]) -> bytes:
    # Imported when somebody asks: it is large, and most processes are never asked.
    return encode_json(import_module("gateway_http.openapi").document(_version(), served))


def _version() -> str:
    try:
        return metadata.version("tollway")
    except metadata.PackageNotFoundError:  # it runs from a checkout
        return "0"
