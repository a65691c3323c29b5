"""Readable English out of a seed, and what a token is here.

A token is a word or a single mark, together with the white space before it; white space at the end is one of its own.
Of words and white space without end it is sixty-four characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from random import Random

_TOKEN = re.compile(r"\s{0,64}(?:\w{1,64}|[^\w\s])|\s{1,64}")
_SLICE = 16 * 2**10
"""Characters that are split in one go: nobody else has a turn meanwhile."""

_LEXICON = """
place: harbour, valley, library, station, garden, market, workshop, bridge, orchard, lighthouse, kitchen, archive
person: baker, pilot, teacher, gardener, sailor, clockmaker, nurse, painter, miller, shepherd, printer, cook
thing: letter, lantern, map, kettle, ladder, basket, violin, compass, ledger, blanket, bell, bottle
verb: carries, repairs, finds, paints, borrows, returns, weighs, hides, describes, polishes, counts, forgets
kind: quiet, old, bright, patient, narrow, warm, distant, careful, curious, heavy, small, honest
time: every morning, before noon, at dusk, in early spring, after the rain, on market days
"""
_WORDS = {kind: words.split(", ") for kind, words in (line.split(": ") for line in _LEXICON.strip().splitlines())}


def split(text: str) -> Iterator[str]:
    """The text's tokens, found as they are asked for; joined, they are the text."""
    return chain.from_iterable(_slices(text))


def count(text: str) -> int:
    return sum(map(len, _slices(text)))


def _slices(text: str) -> Iterator[list[str]]:
    """The tokens, a slice of the text at a time."""
    start = 0
    while (end := start + _SLICE) < len(text):
        tokens = _TOKEN.findall(text, start, end)
        start = end - len(tokens.pop())  # it may go on beyond the slice
        yield tokens
    yield _TOKEN.findall(text, start)


def prose(random: Random, tokens: int) -> list[str]:
    """Sentences of exactly that many tokens in all."""
    written: list[str] = []
    while len(written) < tokens:
        written += split((" " if written else "") + _sentence(random))
    return _stop_after(written, tokens)


def word(random: Random) -> str:
    return random.choice(_WORDS["thing"])


def _stop_after(written: list[str], tokens: int) -> list[str]:
    """The first tokens, ended by a full stop where there is more than a word."""
    kept = written[:tokens]
    if tokens > 1 and kept[-1] != ".":
        kept[-1] = "."
        if kept[-2] in ".,":
            kept[-2] = " today"
    return kept


def _sentence(random: Random) -> str:
    person, thing, place, verb, kind, time = (
        random.choice(_WORDS[name]) for name in ("person", "thing", "place", "verb", "kind", "time")
    )
    return random.choice(
        (
            f"The {kind} {person} {verb} a {thing} near the {place}.",
            f"{time.capitalize()}, the {person} {verb} the {kind} {thing}.",
            f"In the {place} there is a {kind} {thing}, and the {person} {verb} it {time}.",
            f"A {person} {verb} one {thing} {time}, but the {place} stays {kind}.",
            f"Nobody in the {place} knows why the {person} {verb} the {thing}.",
        )
    )
