"""Who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mesh.config.patterns import matches
from mesh.errors import Reason, TollwayError


class Role(Enum):
    """What a key may do: ask models; see how things stand as well; everything."""

    CALLER = "caller"
    OPERATOR = "operator"
    ADMIN = "admin"

    def __init__(self, _: str) -> None:
        self._rank = len(type(self).__members__)

    def may_act_as(self, other: Role) -> bool:
        """Whether whoever has this role may do what the other one is needed for."""
        return self._rank >= other._rank


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose account a question is asked.

    `key` is the name of the API key, never the key itself. `tags` are added to the question's own. `models` are the
    names and patterns that may be asked for. Answers are cached for `cache` seconds; None: where the model or the
    question says so.
    """

    tenant: str
    project: str
    key: str
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    role: Role = Role.CALLER
    cache: float | None = None

    def may_ask(self, model: str) -> bool:
        """Whether that name may be asked for."""
        return any(matches(each, model) for each in self.models)

    def tagged(self, tags: Sequence[str]) -> tuple[str, ...]:
        """The labels of a question that came with those."""
        return (*tags, *(tag for tag in self.tags if tag not in tags))

    def denied(self, what: str, least: Role) -> TollwayError:
        """The error for what takes a role that this one is too small for."""
        message = f"{what} takes a key with the role {least.value}; {self.key} has the role {self.role.value}."
        return TollwayError(Reason.PERMISSION_DENIED, message)


LOCAL = Principal("default", "default", "local", role=Role.ADMIN)
"""Everybody, where no keys are configured: only this machine is served then."""
