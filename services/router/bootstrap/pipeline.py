"""What a message goes through on its way to its handler, and which handler that is."""

from __future__ import annotations

from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.mediator import Behavior, Mediator, messages_in, when
from services.router import handlers
from services.router.handlers.admission import Admission
from services.router.handlers.authentication import Authentication, Permission
from services.router.handlers.behaviors import Validation, has_question, is_admitted
from services.router.handlers.caching import Caching
from services.router.handlers.count_tokens import CountTokens, count_tokens
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.create_embeddings import CreateEmbeddings, create_embeddings
from services.router.handlers.desk import Desk
from services.router.handlers.explain_route import ExplainRoute, explain_route
from services.router.handlers.forward import Forward, forward
from services.router.handlers.idempotency import Idempotency, has_key
from services.router.handlers.list_deployments import ListDeployments, list_deployments
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion


def behaviors(
    *,
    authentication: Authentication | None,
    idempotency: Idempotency,
    admission: Admission | None,
    caching: Caching,
    max_messages: int,
) -> list[Behavior]:
    """What is done around the handlers, outermost first: each saves the next ones work, and what they would cost.

    Whoever is not known learns nothing and touches nothing. What cannot be asked, or may not, is not remembered. What
    was asked before draws from no limit. An answer out of the cache draws a request, and takes no tokens.
    """
    return [
        *([] if authentication is None else [authentication]),
        when(has_question, Validation(max_messages)),
        Permission(),
        when(has_key, idempotency),
        when(caching.concerns, caching),
        *([] if admission is None else [when(is_admitted, admission)]),
    ]


def mediator(desk: Desk, loaded: Timestamp, around: list[Behavior]) -> Mediator:
    """Every use case of the router, behind what is done around them. `loaded` is since when its models are known."""
    return Mediator(
        [
            (CreateChatCompletion, partial(create_chat_completion, desk=desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=desk)),
            (CreateEmbeddings, partial(create_embeddings, desk=desk)),
            (CountTokens, partial(count_tokens, desk=desk)),
            (Forward, partial(forward, desk=desk)),
            (
                ExplainRoute,
                partial(
                    explain_route,
                    selection=desk.selection,
                    clock=desk.clock,
                    longest_wait=desk.schedule.retry_after_wait,
                ),
            ),
            (ListDeployments, partial(list_deployments, routes=desk.routes, fleet=desk.fleet, clock=desk.clock)),
            (ListModels, partial(list_models, routes=desk.routes, providers=desk.providers, loaded=loaded)),
        ],
        behaviors=around,
        expected=messages_in(handlers),
    )
