"""Takes slices back that routers do not need, and closes those that are used up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mesh.errors import invalid
from mesh.mediator import Command
from mesh.money import MOST_COST_NANOS
from services.ledger.domain.leasing import takes_back
from services.ledger.domain.validation import is_uuid7
from services.ledger.handlers.lease_budget import check_journal
from services.ledger.ports import Leases
from tollway.ledger.v1.budget_pb2 import ReturnedLease

MOST_LEASES = 10_000


@dataclass(frozen=True, slots=True)
class ReturnLease(Command[None]):
    """`journal_closed` closes all that the journal has; see ReturnLeaseRequest."""

    journal_id: str
    leases: Sequence[ReturnedLease] = ()
    journal_closed: bool = False

    def check(self) -> None:
        check_journal(self.journal_id)
        if len(self.leases) > MOST_LEASES:
            raise invalid("leases", f"are {len(self.leases)}; a request holds at most {MOST_LEASES}")
        for index, lease in enumerate(self.leases):
            if not is_uuid7(lease.lease_id):
                raise invalid(f"leases[{index}].lease_id", "is not a UUID version 7 in lower case")
            if not 0 <= lease.nanos <= MOST_COST_NANOS:
                raise invalid(f"leases[{index}].nanos", f"{lease.nanos} is not between 0 and {MOST_COST_NANOS}")


async def return_lease(command: ReturnLease, *, leases: Leases) -> None:
    """Leases that are not known, or closed, are let be. Raises TollwayError INVALID_REQUEST for another's."""
    there = dict(await leases.find({returned.lease_id for returned in command.leases}))
    for index, returned in enumerate(command.leases):
        lease = there.get(returned.lease_id)
        if lease is None or lease.closed:
            continue
        if lease.journal_id != command.journal_id:
            raise invalid(f"leases[{index}].lease_id", f"{lease.lease_id} is a lease of another journal")
        back = takes_back(lease, returned.nanos)
        there[lease.lease_id] = replace(lease, returned=lease.returned + back, closed=returned.closed)
        await leases.put(lease, there[lease.lease_id])
    await leases.answered(there)
    if command.journal_closed:
        for lease in await leases.open_of(command.journal_id):
            await leases.put(lease, replace(lease, closed=True))
