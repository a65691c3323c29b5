"""Which budgets hold: the one rule by which the router asks for leases, and the ledger counts what was spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from tollway.ledger.v1.budget_pb2 import Budget

ANY = "*"
"""As a scope's name: everyone of that kind, each with a budget of its own."""

_KEPT = 4096
"""Combinations of who asks for what that are remembered; tags and pass-through names are as many as clients make up."""


class Claim(NamedTuple):
    """A budget that something falls under, and whose share of it that is: the scope, with a name in place of `*`."""

    budget: Budget
    subject: str


class BudgetBook:
    """All budgets there are, arranged for finding those that hold.

    A book does not change; whoever watches budgets makes a new one of each list that arrives. All that something falls
    under hold at once, soft and hard ones. A scope with a name stands in place of those with a `*` of its kind: who has
    a budget by name has no other of that kind.
    """

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.budgets = tuple(sorted(budgets, key=lambda budget: budget.budget_id))
        self._by_id = {budget.budget_id: budget for budget in self.budgets}
        self._by_scope: dict[str, list[Budget]] = {}
        for budget in self.budgets:
            self._by_scope.setdefault(budget.scope, []).append(budget)
        self._by_tag = any(scope.startswith("tag:") for scope in self._by_scope)
        self._found = lru_cache(_KEPT)(self._find)

    def find(self, budget_id: str) -> Budget | None:
        return self._by_id.get(budget_id)

    def claims(self, tenant: str, project: str, key: str, model: str, tags: Sequence[str]) -> tuple[Claim, ...]:
        """What a question falls under, by who asks and for what. `model` is the name asked for."""
        if not self._by_scope:
            return ()
        return self._found(tenant, project, key, model, tuple(tags) if self._by_tag else ())

    def holds(self, budget_id: str, subject: str) -> bool:
        """Whether a subject such as `project:demo` falls under a budget."""
        return any(budget.budget_id == budget_id for budget in self._of(subject))

    def _find(self, tenant: str, project: str, key: str, model: str, tags: tuple[str, ...]) -> tuple[Claim, ...]:
        subjects = [f"tenant:{tenant}", f"project:{project}", f"key:{key}", f"model:{model}"]
        subjects += [f"tag:{tag}" for tag in dict.fromkeys(tags)]
        return tuple(Claim(budget, subject) for subject in subjects for budget in self._of(subject))

    def _of(self, subject: str) -> Sequence[Budget]:
        kind, _, name = subject.partition(":")
        # A name may be a `*` itself, where clients make names up: it is one of many then, and not all of them.
        named = self._by_scope.get(subject) if name != ANY else None
        return named or self._by_scope.get(f"{kind}:{ANY}") or ()
