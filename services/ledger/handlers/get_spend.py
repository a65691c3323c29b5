"""Sums what was spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import invalid
from mesh.mediator import Query
from services.ledger.domain.validation import check_filter
from services.ledger.ports import Usage
from tollway.ledger.v1.ledger_pb2 import GetSpendResponse, SpendDimension, UsageFilter


@dataclass(frozen=True, slots=True)
class GetSpend(Query[GetSpendResponse]):
    """`group_by` gives the sums' keys, in order; empty asks for one sum over everything."""

    filter: UsageFilter
    group_by: Sequence[SpendDimension.ValueType] = ()

    def check(self) -> None:
        check_filter(self.filter)
        for index, dimension in enumerate(self.group_by):
            if not 1 <= dimension < len(SpendDimension.keys()):
                names = ", ".join(SpendDimension.keys()[1:])
                raise invalid(f"group_by[{index}]", f"{dimension} is none of {names}")
            if dimension in self.group_by[:index]:
                raise invalid(f"group_by[{index}]", f"{SpendDimension.Name(dimension)} is there twice")


async def get_spend(query: GetSpend, *, usage: Usage) -> GetSpendResponse:
    return await usage.spend(query.filter, query.group_by)
