"""What is done around the router's use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from mesh.errors import Reason, TollwayError
from mesh.mediator import Behavior, Next, NextStream
from services.router.domain.validation import preference_violations, violations
from services.router.handlers.desk import Question


class Validation(Behavior):
    """Lets no question through that cannot be asked."""

    async def handle(self, message: Any, next: Next) -> Any:
        _check(message)
        return await next(message)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        _check(message)
        return next(message)


def is_question(message: Any) -> bool:
    return isinstance(message, Question)


def _check(question: Question) -> None:
    found = violations(question.chat, question.request_id, question.tags)
    if found := found + preference_violations(question.preferences):
        message = "; ".join(f"{violation.field}: {violation.description}" for violation in found)
        about = question.about()
        if any(violation.field == "request_id" for violation in found):
            del about["request_id"]  # it is not fit to be shown, in a header least of all
        raise TollwayError(Reason.INVALID_REQUEST, message, about, violations=found)
