"""What a key opens beside the router: the services that share its address and know no keys."""

from __future__ import annotations

from services.router.domain.keyring import Keyring
from services.router.domain.principal import Role

_READING = ("Get", "List", "Watch", "Audit", "Reconcile")


def least_role(method: str) -> Role:
    """Who may call that RPC (`/package.Service/Method`): what only reads, as its name says, operators; else admins."""
    return Role.OPERATOR if method.rpartition("/")[2].startswith(_READING) else Role.ADMIN


def admit(keyring: Keyring, credentials: str, method: str, now: float) -> None:
    """Raises UNAUTHENTICATED for credentials that are not known, PERMISSION_DENIED for a role that is too small."""
    principal, least = keyring.identify(credentials, now), least_role(method)
    if not principal.role.may_act_as(least):
        raise principal.denied(method[1:], least)
