"""What is done around the router's use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from mesh.errors import FieldViolation, Reason, TollwayError
from mesh.mediator import Behavior, Next, NextStream, Query
from services.router.domain.validation import excess_violations
from services.router.handlers.question import Question


class Validation(Behavior):
    """Lets no question through that cannot be asked, such as one of more than `max_messages`."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages

    def handle(self, message: Any, next: Next) -> Awaitable[Any]:
        self._check(message)
        return next(message)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        self._check(message)
        return next(message)

    def _check(self, question: Question) -> None:
        found = question.violations()
        if len(question.chat.messages) > self._max_messages:
            found = (*found, *excess_violations(question.chat, self._max_messages))
        if found:
            raise _refusal(question, found)


def has_question(message: Any) -> bool:
    """Whether there is a question in it, be it asked or only told about."""
    return isinstance(message, Question)


def is_question(message: Any) -> bool:
    """Whether it is a question that will be asked."""
    return isinstance(message, Question) and not isinstance(message, Query)


def is_admitted(message: Any) -> bool:
    """Whether it is a question that counts against limits."""
    return isinstance(message, Question) and message.kind.admitted


def _refusal(question: Question, found: tuple[FieldViolation, ...]) -> TollwayError:
    message = "; ".join(f"{violation.field}: {violation.description}" for violation in found)
    about = question.about()
    if any(violation.field == "request_id" for violation in found):
        del about["request_id"]  # it is not fit to be shown, in a header least of all
    return TollwayError(Reason.INVALID_REQUEST, message, about, violations=found)
