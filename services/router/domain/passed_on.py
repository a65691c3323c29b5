"""An answer that is passed on unread, as far as it is here."""

from __future__ import annotations

from services.router.domain.answer import Answer
from tollway.providers.v1.providers_pb2 import ForwardResponse


class PassedOn(Answer):
    """Takes an answer's messages in order. From the first on it has begun: a status line has gone out with it."""

    tells_tokens = False

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1)

    def take_message(self, response: ForwardResponse) -> None:
        """Notes what of an answer is here."""
        self.begun = True
        if response.HasField("usage"):
            self.usage = response.usage
