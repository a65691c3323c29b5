"""What a dialect of conversations is to the edge: a way to read a question, and a way to write its answer.

The module of a dialect is one (`openai_chat`): `decode` reads the question, and gives with it what writes the answer,
which may depend on how the question was put.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from gateway_http.exchange import ErrorShape
from tollway.chat.v1.chat_pb2 import ChatChunk, ChatResponse
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, Receipt, StreamChatCompletionRequest

Request = CreateChatCompletionRequest | StreamChatCompletionRequest


class Identity(NamedTuple):
    """What stands in for what a provider leaves out: an id, the model asked for, and the time (Unix seconds)."""

    request_id: str
    model: str
    now: float


class StreamWriter(Protocol):
    """The events of one streamed answer: `encode` each chunk, then `finish` once."""

    def stand_in(self, request_id: str) -> None:
        """The answer is another request's: where its provider did not name it, it is called what it was called then."""

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events to write now, maybe none."""

    def finish(self, receipt: Receipt, trace_id: str) -> bytes:
        """The last events and the end mark. Raises UPSTREAM_CUT for an answer without its finish."""

    def failing(self, errors: ErrorShape) -> ErrorShape:
        """How an error is told that ends this stream, where `errors` is how the dialect tells others."""


class Answering(Protocol):
    """Writes the answer to one question."""

    def whole(self, chat: ChatResponse, identity: Identity) -> bytes: ...

    def stream(self, identity: Identity) -> StreamWriter: ...


class Decoded(NamedTuple):
    """What a client asks of the router, and what writes the answer."""

    request: Request
    answering: Answering


class Dialect(Protocol):
    """How conversations are put into JSON."""

    def decode(self, fields: dict[str, Any], max_messages: int) -> Decoded:
        """Reads a question. Takes `fields` apart. Raises INVALID_REQUEST with the path of the field at fault."""
