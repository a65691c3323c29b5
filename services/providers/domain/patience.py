"""How long an answer is waited for, from its headers on."""

from __future__ import annotations

from collections.abc import Callable

from mesh.errors import TollwayError
from services.providers.domain.failures import silent
from services.providers.domain.wire import Limits


class Patience:
    """Until when the next bytes may come: one limit for the first content, and one for each event after it.

    Comments and bare roles are no content, so a server that only says it is alive does not renew it.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._now = now
        self._gap = limits.gap
        self._phase, self._limit = "first_token", limits.first_token
        self.deadline = None if limits.first_token is None else now() + limits.first_token

    def renew(self) -> None:
        """Something came that counts: from now on, the wait is for what follows it."""
        self._phase, self._limit = "gap", self._gap
        self.deadline = None if self._gap is None else self._now() + self._gap

    def ran_out(self) -> TollwayError:
        """The error for a deadline that passed."""
        return silent(self._phase, self._limit or 0.0)
