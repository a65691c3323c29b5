from __future__ import annotations

import hashlib

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.access import admit, least_role
from services.router.domain.keyring import Key, Keyring
from services.router.domain.principal import Principal, Role
from tollway.ledger.v1 import ledger_pb2

LEDGER = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]
RING = Keyring(
    Key(hashlib.sha256(role.value.encode()).digest(), Principal("t", "p", f"my-{role.value}", role=role))
    for role in Role
)


def called(name: str) -> str:
    return f"/{LEDGER.full_name}/{name}"


def test_what_reads_the_ledger_is_for_operators_and_all_else_for_admins() -> None:
    by_role: dict[Role, set[str]] = {role: set() for role in Role}
    for rpc in LEDGER.methods:
        by_role[least_role(called(rpc.name))].add(rpc.name)
    assert by_role[Role.CALLER] == set()
    reading = {"GetSpend", "ListUsage", "ListPrices", "WatchPrices", "AuditLedger", "ReconcileInvoice"}
    assert reading <= by_role[Role.OPERATOR]
    assert {"RecordAttempts", "SetPrice", "AdjustAttempt"} <= by_role[Role.ADMIN]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "needs"), [("GetSpend", Role.OPERATOR), ("SetPrice", Role.ADMIN)])
def test_a_key_opens_what_its_role_may_do(role: Role, name: str, needs: Role) -> None:
    if role.may_act_as(needs):
        admit(RING, f"Bearer {role.value}", called(name), 0.0)
        return
    with pytest.raises(TollwayError) as refused:
        admit(RING, f"Bearer {role.value}", called(name), 0.0)
    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert refused.value.message == (
        f"tollway.ledger.v1.LedgerService/{name} takes a key with the role {needs.value}; "
        f"my-{role.value} has the role {role.value}."
    )


@pytest.mark.parametrize("credentials", ["", "Bearer nobody"])
def test_nobody_is_let_in_without_a_key(credentials: str) -> None:
    with pytest.raises(TollwayError) as refused:
        admit(RING, credentials, called("GetSpend"), 0.0)
    assert refused.value.reason is Reason.UNAUTHENTICATED
