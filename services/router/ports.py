"""What the router's use cases need of the world outside. Times are in seconds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol, TypeVar

from mesh.prices import PriceBook
from mesh.tracing import TraceContext
from services.router.domain.caching import Asked
from services.router.domain.kept_answer import KeptAnswer
from tollway.ledger.v1.budget_pb2 import Budget, LeaseAnswer, LeaseBudgetRequest, ReturnLeaseRequest
from tollway.ledger.v1.ledger_pb2 import Attempt, Price, RecordAttemptsRequest, RecordedAttempt
from tollway.providers.v1.providers_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateEmbeddingsRequest,
    CreateEmbeddingsResponse,
    ForwardRequest,
    ForwardResponse,
    ProviderModel,
    StreamCompletionRequest,
    StreamCompletionResponse,
)

Response_co = TypeVar("Response_co", covariant=True)


class AnswerStream(Protocol[Response_co]):
    """An answer on its way. It is read only as fast as it is pulled. Pulling raises TollwayError."""

    def __aiter__(self) -> AsyncIterator[Response_co]: ...

    async def __anext__(self) -> Response_co: ...

    def cancel(self) -> None:
        """Ends the provider's call at once; does nothing to one that has ended."""


CompletionStream = AnswerStream[StreamCompletionResponse]
ForwardStream = AnswerStream[ForwardResponse]


class ProviderCalls(Protocol):
    """Calls to providers. `timeout` bounds the whole call (None: nothing does), `trace` is the caller's place."""

    async def complete(
        self, request: CreateCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CreateCompletionResponse:
        """A whole completion. Cancelling the caller cancels the provider's call. Raises TollwayError."""

    def stream(
        self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CompletionStream: ...

    async def embed(
        self, request: CreateEmbeddingsRequest, timeout: float | None, trace: TraceContext
    ) -> CreateEmbeddingsResponse:
        """The vectors of texts. Cancelling the caller cancels the provider's call. Raises TollwayError."""

    async def count_tokens(
        self, request: CountTokensRequest, timeout: float | None, trace: TraceContext
    ) -> CountTokensResponse:
        """The tokens of a question, if the provider counts them. Raises TollwayError."""

    def forward(self, request: ForwardRequest, timeout: float | None, trace: TraceContext) -> ForwardStream: ...

    async def known_models(self) -> Sequence[ProviderModel]:
        """The models of all providers that are known without asking them. Raises TollwayError."""

    async def check_health(self, provider: str, timeout: float) -> None:
        """Looks whether a provider can be reached and takes its credentials. Raises TollwayError where not."""


class Journal(Protocol):
    """The router's own record of calls, until the ledger has them."""

    async def opened(self, attempt: Attempt) -> int:
        """Writes down that a call is about to leave; gives the entry's number once it is written.

        Raises TollwayError SERVICE_UNAVAILABLE where it cannot be written: the call must not leave then. Cancelled
        meanwhile, it leaves nothing behind.
        """

    def settled(self, opened: int, attempt: Attempt) -> None:
        """Writes down how the call of entry `opened` ended. Never raises: what cannot be written now is kept."""


class PriceSource(Protocol):
    """Prices as the ledger has them."""

    def find(self, provider: str, model: str, at: float) -> Price | None:
        """What a provider's model cost at that Unix time; None where that is not known (yet).

        The ledger is asked then, so that it may be known when the call has ended.
        """

    async def learn(self, provider: str, model: str) -> None:
        """Waits until the ledger has said what a model costs of which no price is known, if it was not asked before.

        For whoever cannot do without: a model's first time may take a second. Never raises.
        """


class LedgerClient(Protocol):
    """The system of record. Every method raises TollwayError."""

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        """What became of each attempt, in the order of the request."""

    async def find_price(self, provider: str, model: str, timeout: float) -> Price | None:
        """What a provider's model costs now; None where nobody knows."""

    def watch_prices(self) -> AsyncGenerator[PriceBook, None]:
        """All prices at once, and all again whenever one changes."""


class BudgetKeeper(Protocol):
    """Who grants slices of budgets: the ledger. Every method raises TollwayError."""

    async def lease(self, request: LeaseBudgetRequest, timeout: float) -> Sequence[LeaseAnswer]:
        """What became of each wish, in the order of the request."""

    async def give_back(self, request: ReturnLeaseRequest, timeout: float) -> None:
        """Gives slices back. Doing so again changes nothing."""

    def watch_recalls(self, journal_id: str) -> AsyncGenerator[Sequence[str], None]:
        """The leases of a journal whose idle part others are in need of, each time they are."""

    def watch_budgets(self) -> AsyncGenerator[Sequence[Budget], None]:
        """All budgets at once, and all again whenever one changes."""


class AnswerCache(Protocol):
    """Answers that may be given again. Every method raises TollwayError, in bounded time, where it cannot be reached.

    Which questions are alike enough is the cache's to decide; that an answer stays in its scope is its duty.
    """

    async def find(self, asked: Asked) -> KeptAnswer | None:
        """An answer to the question, in the shape it was asked for; None where there is none."""

    async def keep(self, asked: Asked, answer: KeptAnswer, ttl: float) -> None:
        """Keeps an answer for that many seconds at most."""
