"""Finding out who asks, before anything else is done, and holding what they ask against what they may."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.mediator import Behavior, Next, NextStream
from services.router.domain.keyring import Keyring
from services.router.domain.principal import Principal
from services.router.handlers.caller import FromCaller
from services.router.handlers.question import Question

log = logging.getLogger(__name__)

_LONGEST_NAME_SHOWN = 128


class Authentication(Behavior):
    """Lets no message through whose sender is not known, and says in it who that is."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring, self._clock = keyring, clock

    def handle(self, message: FromCaller, next: Next) -> Awaitable[Any]:
        self._identify(message)
        return next(message)

    def handle_stream(self, message: FromCaller, next: NextStream) -> AsyncIterator[Any]:
        self._identify(message)
        return next(message)

    def _identify(self, message: FromCaller) -> None:
        try:
            message.principal = principal = self._keyring.identify(message.credentials, self._clock.time())
        except TollwayError as refusal:
            about = message.about()
            about.pop("request_id", None)  # nobody has looked yet whether it is fit to be shown
            log.debug("%s was refused: %s", type(message).__name__, refusal.message)
            raise TollwayError(refusal.reason, refusal.message, about) from None
        if principal.tags and isinstance(message, Question):
            message.tags = principal.tagged(message.tags)


class Permission(Behavior):
    """Lets no message through that its sender may not send, and no question for a model that it may not ask."""

    def handle(self, message: FromCaller, next: Next) -> Awaitable[Any]:
        _check(message)
        return next(message)

    def handle_stream(self, message: FromCaller, next: NextStream) -> AsyncIterator[Any]:
        _check(message)
        return next(message)


def _check(message: FromCaller) -> None:
    principal = message.principal
    if not principal.role.may_act_as(message.needs):
        raise principal.denied(type(message).__name__, message.needs)
    if "*" not in principal.models and isinstance(message, Question):
        _check_models(message, principal)


def _check_models(question: Question, principal: Principal) -> None:
    for model in (question.chat.model, *question.preferences.models):
        if not principal.may_ask(model):
            raise TollwayError(
                Reason.PERMISSION_DENIED,
                f"The key {principal.key} may not ask for the model {model[:_LONGEST_NAME_SHOWN]!r}. "
                "GET /v1/models (RouterService.ListModels) lists those that it may ask for.",
                question.about(),
            )
