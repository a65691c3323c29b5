"""Writes docs/providers.md from the adapters and presets there are; with --check, says whether it is what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from services.providers import presets
from services.providers.adapters import dialect_names
from services.providers.domain.features import GROUPS

PAGE = Path(__file__).with_suffix(".md")
_INTRODUCTION = """\
# Providers

<!-- Written by `make docs` from services/providers/adapters and services/providers/presets. -->

Each name below is a preset: `providers: {groq: }` in `tollway.yaml` is enough where the key is in the variable, and
with no `providers` at all, every one is there whose variable is set and who needs nothing else. `preset: groq` gives a
provider of any name the same. [Configuration](configuration.md#providers) says what else can be said, and
[Adding a provider](adding-a-provider.md) how to add one. Any other server that speaks one of the dialects is a provider
with a `dialect` and a `base_url`.

"""
_SUPPORT = """
## What they support

`•`: Tollway can say it, in the provider's own words. Whether a model does what it is told is for the model to say. What
cannot be said is refused by name, or left out where the client asks for that.
"""


class Row(NamedTuple):
    """A provider, or a dialect for which nobody in particular stands."""

    name: str
    title: str
    dialect: str
    address: str
    key: str
    note: str
    supports: frozenset[str]


def rows() -> list[Row]:
    """In the order in which they are there without a configuration; dialects without a preset of theirs come last."""
    supports = {name: adapter_supports(name) for name in dialect_names()}
    entries = {name: entry for name in presets.Presets() if (entry := presets.entry(name)) is not None}
    here = {name: entry for name, entry in entries.items() if entry.known.dialect in supports}
    ordered = sorted(here, key=lambda name: (here[name].known.place, name))
    nobodys = sorted(supports.keys() - {entry.known.dialect for entry in here.values()})
    return [
        *(_row(name, here[name], supports) for name in ordered),
        *(Row(name, f"`dialect: {name}`", name, "", "", "", supports[name]) for name in nobodys),
    ]


def adapter_supports(dialect: str) -> frozenset[str]:
    """What an adapter says that it can say. Raises AttributeError for one that does not."""
    module: Any = import_module(f"services.providers.adapters.{dialect}")
    supports: frozenset[str] = module.supports
    return supports


def _row(name: str, entry: presets.Entry, supports: Mapping[str, frozenset[str]]) -> Row:
    known = entry.known
    address = f"`{known.base_url}`" if known.base_url else "one's own"
    key = f"`{known.key_variable}`" if known.key_variable else known.credentials or "none"
    said = presets.supported(supports[known.dialect], entry)
    return Row(name, entry.title, known.dialect, address, key, entry.note, said)


def page(listed: Iterable[Row]) -> str:
    listed = list(listed)
    named = [row for row in listed if row.address]
    about = [(f"`{row.name}`", row.title, row.dialect, row.address, row.key, row.note) for row in named]
    text = _INTRODUCTION + _table(("preset", "provider", "dialect", "address", "key", ""), about) + _SUPPORT
    for title, group in GROUPS.items():
        legend = "; ".join(f"*{name}*: {what}" for name, what in group.items())
        marks = [(f"`{row.name}`", *("•" if name in row.supports else "" for name in group)) for row in listed]
        text += f"\n### {title}\n\n{_wrapped(legend)}.\n\n" + _table(("", *group), marks)
    return text


def _table(head: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *body]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines).replace("|  |", "| |").replace("|  |", "| |")


def _wrapped(text: str) -> str:
    return "\n".join(_lines(text.split(" "), 120))


def _lines(words: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def main(arguments: list[str]) -> int:
    text = page(rows())
    if "--check" not in arguments:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.stderr.write("docs/providers.md is out of date: run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
