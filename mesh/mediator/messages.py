"""The kinds of message a mediator carries. The type parameter is what the handler answers with."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


class Command(Generic[R_co]):
    """Asks for something to be done, once, by one handler; answered with an R."""


class Query(Generic[R_co]):
    """Asks for something to be told; changes nothing; answered with an R."""


class StreamCommand(Generic[C_co]):
    """A command that is answered with chunks C while it is being done."""


class StreamQuery(Generic[C_co]):
    """A query that is answered with chunks C."""


class Event:
    """Says that something happened, to whoever reacts."""


Answered = (Command, Query, StreamCommand, StreamQuery)


def messages_in(package: ModuleType) -> frozenset[type]:
    """Every command and query defined in a package's modules (one level), which all need a handler."""
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return frozenset(
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Answered) and value.__module__ == module.__name__
    )
