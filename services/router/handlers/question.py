"""What a question is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mesh.errors import FieldViolation, TollwayError
from mesh.tracing import AttributeValue, TraceContext
from services.router.domain import genai
from services.router.domain.fingerprint import fingerprint
from services.router.domain.kinds import CHAT, Kind
from services.router.domain.validation import violations
from services.router.handlers.caller import FromCaller
from tollway.chat.v1.chat_pb2 import ChatRequest, Usage
from tollway.router.v1.router_pb2 import Preferences


@dataclass(slots=True)
class Question(FromCaller):
    """A chat request with what the router knows about it; of what is no conversation, one that weighs the same
    (`domain.likeness`), and beside it what is asked.

    `deadline` is on the clock's monotonic time, None where the client set none; `parent` is the client's place in its
    trace. `on_usage` is told what each attempt took, if that is known, when it is settled: that may be after the
    question was answered.
    """

    kind: ClassVar[Kind] = CHAT

    chat: ChatRequest
    request_id: str
    tags: Sequence[str]
    parent: TraceContext | None
    deadline: float | None
    preferences: Preferences = field(default_factory=Preferences)
    on_usage: Callable[[Usage], None] | None = field(default=None, repr=False)

    def about(self) -> dict[str, str]:
        """What the metadata of an error says that came before any attempt."""
        about = {"request_id": self.request_id, "attempts": "0"}
        if self.parent is not None:
            about["trace_id"] = self.parent.trace_id
        return about

    @property
    def operation(self) -> str:
        """What it is called in traces."""
        return self.kind.operation

    def violations(self) -> tuple[FieldViolation, ...]:
        """Everything that is wrong with it; empty where it can be asked."""
        return violations(self.chat, self.request_id, self.tags, self.preferences)

    def fingerprint(self) -> bytes:
        """The same for the same question, and for no other."""
        return fingerprint(self.chat, self.preferences.models)

    def told(self, provider: str, *, streamed: bool) -> Mapping[str, AttributeValue]:
        """What the span of its operation says of it."""
        return genai.request_attributes(self.chat, provider, streamed=streamed)


def told(failure: TollwayError, about: Mapping[str, str]) -> TollwayError:
    """The same failure, which also says what it is about."""
    return replace(failure, metadata={**about, **failure.metadata})
