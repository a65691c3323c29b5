"""Lists attempts, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from mesh.mediator import Query
from services.ledger.domain import paging
from services.ledger.domain.validation import check_filter
from services.ledger.ports import Place, Usage
from tollway.ledger.v1.ledger_pb2 import ListUsageResponse, UsageFilter


@dataclass(frozen=True, slots=True)
class ListUsage(Query[ListUsageResponse]):
    """Asks for one page; see ListUsageRequest."""

    filter: UsageFilter
    page_size: int = 0
    page_token: str = ""

    def check(self) -> None:
        check_filter(self.filter)


async def list_usage(query: ListUsage, *, usage: Usage) -> ListUsageResponse:
    """The page, and the token of the next. Raises TollwayError INVALID_REQUEST for a token of another filter."""
    size = paging.size(query.page_size)
    question = query.filter.SerializeToString(deterministic=True)
    after = None
    if query.page_token:
        micros, attempt_id = paging.decode_token(question, query.page_token)
        after = Place(cast(int, micros), cast(str, attempt_id))
    attempts, place = await usage.page(query.filter, after, size)
    token = paging.encode_token(question, (place.start_micros, place.attempt_id)) if place else ""
    return ListUsageResponse(attempts=attempts, next_page_token=token)
