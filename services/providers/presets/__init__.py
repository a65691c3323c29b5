"""Providers that are known by name: one file of data each.

    title = "Groq"                                # what it is called
    dialect = "openai"                            # the adapter that speaks to it
    base_url = "https://api.groq.com/openai/v1"   # none: everyone has an address of their own
    key_variable = "GROQ_API_KEY"                 # the variable its key is usually in
    credentials = "aws"                           # where they are no API key of the dialect's kind
    catalogue = "groq"                            # who in the catalogue has its prices, where its name does not say
    place = 4                                     # among those that are there without a configuration
    lacks = ["embeddings"]                        # of what its dialect can say, beside what its quirks tell
    note = "..."                                  # for docs/providers.md

    [quirks]                                      # as `domain.quirks.Quirks` has them
    refuses = ["logprobs"]

Reading them all takes a few milliseconds, so they are read when they are asked for: a configuration that names its
providers reads theirs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mesh.config.presets import Preset
from services.providers.domain.quirks import NO_QUIRKS, Quirks

_OURS = ("title", "lacks", "note", "quirks")


class Entry(NamedTuple):
    """What a file says. `known` is what the configuration needs of it."""

    known: Preset
    title: str
    quirks: Quirks
    lacks: frozenset[str]
    note: str


class Presets(Mapping[str, Preset]):
    """What the configuration needs of each, by name; read when it is looked up."""

    def __init__(self) -> None:
        self._files = _files()

    def __getitem__(self, name: str) -> Preset:
        if name not in self._files:
            raise KeyError(name)
        return read(self._files[name]).known

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def entry(name: str) -> Entry | None:
    """What is known of a provider by that name; None: nothing."""
    file = _files().get(name)
    return read(file) if file else None


def supported(supports: frozenset[str], preset: Entry) -> frozenset[str]:
    """What of `domain.features` can be said to the provider, in a dialect that supports so much."""
    quirks = preset.quirks
    untold = quirks.refuses | (quirks.ignores & {"service_tier"})
    lacking = {feature for name, feature in _FEATURE_OF.items() if name in untold}
    said = {"cache_control": quirks.cache_control, "reasoning_proof": quirks.reasoning_details}
    if preset.known.dialect == "openai":
        lacking |= {feature for feature, known in said.items() if not known}
    if not quirks.developer_role:
        lacking.add("developer")
    return supports - preset.lacks - lacking


_FEATURE_OF = {
    "audio": "audio_out",
    "frequency_penalty": "penalties",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "n": "n",
    "parallel_tool_calls": "parallel_tools",
    "presence_penalty": "penalties",
    "seed": "seed",
    "service_tier": "service_tier",
    "tool_choice": "tool_choice",
    "tools": "tools",
    "top_k": "top_k",
}
"""The feature that goes with a parameter."""


def quirks_of(name: str) -> Quirks:
    """Those of a preset; none of a name that is not one's."""
    found = entry(name)
    return found.quirks if found else NO_QUIRKS


@cache
def read(file: Path) -> Entry:
    """What the file says. Raises ValueError, naming it, for a file that is not as described above."""
    try:
        said = tomllib.loads(file.read_text("utf-8"))
        ours: dict[str, Any] = {key: said.pop(key) for key in _OURS if key in said}
        quirks = _quirks(ours.get("quirks", {}))
        return Entry(Preset(**said), ours["title"], quirks, frozenset(ours.get("lacks", ())), ours.get("note", ""))
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{file.name} is not a preset: {error}") from error


def _quirks(said: dict[str, Any]) -> Quirks:
    kept: dict[str, Any] = {name: frozenset(each) if isinstance(each, list) else each for name, each in said.items()}
    return Quirks(**kept) if kept else NO_QUIRKS


def _files() -> dict[str, Path]:
    """The files by the names of the presets; in every folder that is this package's."""
    return {file.stem: file for folder in __path__ for file in sorted(Path(folder).glob("*.toml"))}
