"""The edge of a server: whatever a handler raises leaves it as a status of the error table."""

from __future__ import annotations

import asyncio
import logging

import grpc

from mesh import status, tracing
from mesh.errors import Reason, TollwayError
from mesh.interceptors.around import AroundCalls, Context, OnStart
from mesh.interceptors.writing import CallerLeft

_log = logging.getLogger(__name__)


class Errors(AroundCalls):
    """Turns a TollwayError into its rich status, and anything else into INTERNAL with the whole story in the log."""

    def around(self, method: str) -> OnStart:
        edge = _Edge(method)
        return lambda context: edge


class _Edge:
    """The same for all calls of a method."""

    def __init__(self, method: str) -> None:
        self._method = method

    def on_end(self) -> None: ...

    async def on_error(self, error: BaseException, context: Context) -> bool:
        if isinstance(error, (grpc.aio.AbortError, CallerLeft)):
            return False
        if isinstance(error, asyncio.CancelledError):
            if _is_cancelled():
                return False
            error = TollwayError(Reason.CANCELLED, "something this call was waiting for was cancelled")
        if isinstance(error, Exception):
            try:
                await self._abort(error, context)
            except grpc.aio.InternalError:
                raise CallerLeft from error
        return False

    async def _abort(self, error: Exception, context: Context) -> None:
        chosen = context.code()
        if isinstance(error, TollwayError):
            await status.abort(context, error)
        elif chosen and chosen is not grpc.StatusCode.OK:
            await context.abort(chosen, context.details())
        else:
            trace = tracing.current()
            known = {"trace_id": trace.trace_id} if trace else {}
            _log.error("%s failed", self._method, exc_info=error, extra={"rpc_method": self._method, **known})
            await status.abort(context, TollwayError(Reason.INTERNAL, "an internal error", known))


def _is_cancelled() -> bool:
    """Whether it is this call that was cancelled, rather than something it was waiting for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
