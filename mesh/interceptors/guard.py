"""Asking callers of services that do not ask themselves who they are."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from mesh.credentials import Admit, credentials_of
from mesh.interceptors.around import AroundCalls, Context, OnStart


class Guard(AroundCalls):
    """Lets nobody call the given services (`package.Service`) whom `admit` does not let in."""

    def __init__(self, services: Collection[str], admit: Admit) -> None:
        self._services, self._admit = frozenset(services), admit

    def around(self, method: str) -> OnStart | None:
        service = method[1:].partition("/")[0]
        return partial(self._ask, method) if service in self._services else None

    def _ask(self, method: str, context: Context) -> None:
        self._admit(credentials_of(context), method)
