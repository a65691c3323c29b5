"""One use case, one message, one handler.

`Mediator` is composed once, at bootstrap, from handlers, reactions and behaviors; `send`, `stream` and `publish` do
nothing then but look up what was composed.
"""

from mesh.mediator.mediator import CompositionError, Mediator
from mesh.mediator.messages import Command, Event, Query, StreamCommand, StreamQuery, messages_in
from mesh.mediator.pipeline import Behavior, Next, NextStream, when

__all__ = [
    "Behavior",
    "Command",
    "CompositionError",
    "Event",
    "Mediator",
    "Next",
    "NextStream",
    "Query",
    "StreamCommand",
    "StreamQuery",
    "messages_in",
    "when",
]
