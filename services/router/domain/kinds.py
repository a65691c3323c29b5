"""What kinds of questions there are, and what the router does with each beside asking it."""

from __future__ import annotations

from dataclasses import dataclass

from services.router.domain.replay import Shape
from tollway.router.v1.router_pb2 import (
    CreateChatCompletionResponse,
    CreateEmbeddingsResponse,
    ForwardResponse,
    StreamChatCompletionResponse,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question.

    `operation` is what it is called in traces, by OpenTelemetry's GenAI conventions where they have a word. `shape` is
    what it is answered with, where an answer may be given again under its idempotency key. `admitted`: it counts
    against limits, and against those on tokens where it `takes_tokens`. `cached`: the response cache may answer it.
    `bounded`: what it costs at most can be told by its size, so that a hard budget may bear it.
    """

    operation: str
    shape: Shape | None = None
    admitted: bool = True
    takes_tokens: bool = True
    cached: bool = False
    bounded: bool = True


CHAT = Kind("chat", CreateChatCompletionResponse, cached=True)
STREAMED_CHAT = Kind("chat", StreamChatCompletionResponse, cached=True)
EXPLAINED = Kind("chat", admitted=False)
COUNTED = Kind("count_tokens", takes_tokens=False)
EMBEDDINGS = Kind("embeddings", CreateEmbeddingsResponse)
FORWARDED = Kind("forward", ForwardResponse, bounded=False)
