"""What a call needs from outside: someone's dialect, and a way to reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mesh.errors import Reason, TollwayError
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded, Limits, Outgoing
from tollway.chat.v1 import chat_pb2, embedding_pb2, forwarding_pb2


class StreamDecoder(Protocol):
    """Pure, with a memory: bytes of one stream in, chunks out."""

    events: int
    content_seen: bool
    done: bool
    error: TollwayError | None

    @property
    def complete(self) -> bool: ...

    def feed(self, data: bytes) -> Sequence[chat_pb2.ChatChunk]: ...


class Dialect(Protocol):
    """How a kind of provider is spoken to: pure functions. The module of an adapter is one.

    A module may have more: `dialect(quirks) -> Dialect`, as a provider with those `domain.quirks` speaks it,
    and `supports`, a frozenset of what of `domain.features` can be said in it.
    """

    @property
    def default_base_url(self) -> str: ...

    @property
    def health_path(self) -> str:
        """Where under the base URL something can be had that takes the credentials and asks no model."""

    @property
    def credentials(self) -> str:
        """How a call shows who pays where the configuration does not say: a kind of `adapters.credentials`."""

    def encode_request(self, chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
        """The call that asks the question.

        Raises INVALID_REQUEST for what no provider could be told, and UNSUPPORTED_FEATURE for what this one cannot,
        unless `unsaid` has it left out.
        """

    def decode_response(self, body: bytes) -> chat_pb2.ChatResponse:
        """Raises UPSTREAM_MALFORMED, or the error that the body carries."""

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError: ...

    def stream_decoder(self, choices: int, max_event: int) -> StreamDecoder: ...


class Embedding(Protocol):
    """What a dialect has besides where its providers make vectors."""

    def encode_embeddings(self, request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
        """The call that asks for vectors. Raises as `encode_request`."""

    def decode_embeddings(self, body: bytes) -> embedding_pb2.EmbeddingResponse:
        """Raises UPSTREAM_MALFORMED, or the error that the body carries."""


class Counting(Protocol):
    """What a dialect has besides where its providers count tokens."""

    def encode_count(self, chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
        """The call that has the question's tokens counted. Raises as `encode_request`."""

    def decode_count(self, body: bytes) -> int:
        """Raises UPSTREAM_MALFORMED, or the error that the body carries."""


class Clearing(Protocol):
    """What a dialect has besides where its providers clear a conversation of what is old before they count it."""

    def decode_original_count(self, body: bytes) -> int | None:
        """How many tokens there were before, in a body whose count has been read; None where it does not say."""


class Forwarding(Protocol):
    """What a dialect has besides where its providers have endpoints that are passed on to."""

    def encode_forward(self, question: forwarding_pb2.ForwardedQuestion, model: str) -> Encoded:
        """The same question, to that model. Raises INVALID_REQUEST, and UNSUPPORTED_FEATURE for an endpoint that its
        providers do not have."""

    def forward_usage(self, content_type: str, body: bytes) -> chat_pb2.Usage | None:
        """What the answer says that it took; None where it does not say."""


class Credentials(Protocol):
    """What shows who pays, where that is more than headers that stay the same: it is signed for, or expires.

    One that can get something else to show has `refused()`, too, for when the provider did not take what it was shown.
    """

    async def sign(self, call: Outgoing) -> Outgoing:
        """The call with what shows who pays. Raises UPSTREAM_CREDENTIALS where that cannot be had."""


class Answer(Protocol):
    """What a provider answers, from its headers on. Closed by whoever opened it, read to the end or not."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Looked up in lower case."""

    async def read(self, deadline: float | None) -> bytes:
        """What is here of the body, or else what comes next; empty at its end.

        Raises TimeoutError when nothing comes by `deadline` (on the clock's monotonic time; None: waits on), and
        UPSTREAM_CUT when the connection ends before the body does.
        """

    async def finish(self) -> None:
        """Reads to the end if that is near, so that the connection can serve another call."""

    def close(self) -> None:
        """Ends the call at once, where it has not ended; a second time does nothing."""


class Transport(Protocol):
    """The way to a provider."""

    async def open(self, call: Outgoing, limits: Limits) -> Answer:
        """Sends the call and waits for the answer's headers.

        Raises UPSTREAM_UNREACHABLE, UPSTREAM_SILENT or UPSTREAM_MALFORMED.
        """


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that is known without asking its provider."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Provider:
    """Someone who can be called. `headers` go with every call; `redact` takes their secrets out of a text.

    `credentials` sign each call where those headers do not say all, and are told by `refused` where the provider did
    not take what they showed.
    """

    name: str
    dialect: Dialect
    transport: Transport
    base_url: str
    headers: Mapping[str, str]
    redact: Callable[[str], str]
    models: tuple[KnownModel, ...] = ()
    credentials: Credentials | None = None
    refused: Callable[[], None] = lambda: None
    other_dialect: Callable[[str], Dialect | None] = lambda model: None
    """How a model of theirs is spoken to that is not spoken to as the others are."""

    def dialect_for(self, model: str) -> Dialect:
        return self.other_dialect(model) or self.dialect


def embedding(provider: Provider) -> Embedding:
    """How the provider is asked for vectors. Raises UNSUPPORTED_FEATURE where it makes none."""
    return cast(Embedding, _having("encode_embeddings", provider, "makes no embeddings"))


def counting(provider: Provider, model: str) -> Counting | None:
    """How the provider is asked to count for that model; None where it does not."""
    dialect = provider.dialect_for(model)
    return cast(Counting, dialect) if hasattr(dialect, "encode_count") else None


def original_count(dialect: Counting, body: bytes) -> int | None:
    """How many tokens there were before the provider cleared any; None where it does not say, or clears none."""
    return cast(Clearing, dialect).decode_original_count(body) if hasattr(dialect, "decode_original_count") else None


def forwarding(provider: Provider) -> Forwarding:
    """How questions are passed on to the provider. Raises UNSUPPORTED_FEATURE where none are."""
    return cast(Forwarding, _having("encode_forward", provider, "has no endpoints that questions are passed on to"))


def _having(function: str, provider: Provider, otherwise: str) -> Any:
    if not hasattr(provider.dialect, function):
        message = f"the provider {provider.name!r} {otherwise}"
        raise TollwayError(Reason.UNSUPPORTED_FEATURE, message, {"provider": provider.name})
    return provider.dialect


Providers = Mapping[str, Provider]
"""By name, in the order of the configuration."""


def provider_named(name: str, providers: Providers) -> Provider:
    """Raises PROVIDER_NOT_CONFIGURED for a name that is not in the configuration."""
    provider = providers.get(name)
    if provider is None:
        raise TollwayError(
            Reason.PROVIDER_NOT_CONFIGURED,
            f"provider {name!r} is not configured; configured are {', '.join(providers) or 'none'}",
            {"provider": name},
        )
    return provider
