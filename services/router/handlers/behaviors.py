"""What is done around the router's use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from mesh.errors import Reason, TollwayError
from mesh.mediator import Behavior, Next, NextStream, Query
from services.router.handlers.question import Question


class Validation(Behavior):
    """Lets no question through that cannot be asked."""

    def handle(self, message: Any, next: Next) -> Awaitable[Any]:
        _check(message)
        return next(message)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        _check(message)
        return next(message)


def has_question(message: Any) -> bool:
    """Whether there is a question in it, be it asked or only told about."""
    return isinstance(message, Question)


def is_question(message: Any) -> bool:
    """Whether it is a question that will be asked."""
    return isinstance(message, Question) and not isinstance(message, Query)


def is_admitted(message: Any) -> bool:
    """Whether it is a question that counts against limits."""
    return isinstance(message, Question) and message.kind.admitted


def _check(question: Question) -> None:
    if found := question.violations():
        message = "; ".join(f"{violation.field}: {violation.description}" for violation in found)
        about = question.about()
        if any(violation.field == "request_id" for violation in found):
            del about["request_id"]  # it is not fit to be shown, in a header least of all
        raise TollwayError(Reason.INVALID_REQUEST, message, about, violations=found)
