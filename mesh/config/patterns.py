"""How a name that a client asks for finds its entry under `models`, and what the provider is asked for then.

An exact name wins over patterns, and the longest pattern over shorter ones. A pattern ends in `*`, which stands for
the rest of the name, maybe none. A deployment without a `model` of its own asks for what the `*` stood for, or for the
name itself where the entry is no pattern; a `*` in a deployment's `model` stands for the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterable


def matches(pattern: str, asked: str) -> bool:
    """Whether the entry stands for that name."""
    return asked.startswith(pattern[:-1]) if pattern.endswith("*") else asked == pattern


def overlap(pattern: str, other: str) -> bool:
    """Whether some name fits both; either may be a name itself."""
    if pattern.endswith("*") and other.endswith("*"):
        return pattern.startswith(other[:-1]) or other.startswith(pattern[:-1])
    return matches(other, pattern) if other.endswith("*") else matches(pattern, other)


def find(entries: Iterable[str], asked: str) -> str | None:
    """The entry that stands for the name, None if none does."""
    if isinstance(entries, Container) and asked in entries:
        return asked
    return max((entry for entry in entries if matches(entry, asked)), key=_precedence, default=None)


def _precedence(entry: str) -> tuple[bool, int]:
    return not entry.endswith("*"), len(entry)


def upstream_model(entry: str, asked: str, model: str) -> str:
    """What a deployment of that entry, with `model` as configured, asks its provider for."""
    rest = asked[len(entry) - 1 :] if entry.endswith("*") else asked
    return model.replace("*", rest) if model else rest
