"""How many tokens a question will take, before it is asked."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from services.router.domain.usage import prompt_size, tokens
from tollway.chat.v1.chat_pb2 import ChatRequest

_FIRST_GUESS = 256
"""Tokens of an answer to somebody who has had none."""

_WEIGHT = 0.2
"""Of the newest answer in the average."""

_FADE = 0.02
"""How much of the longest answer is forgotten with each that is shorter."""

_MOST = 4096
"""Names kept. Pass-through names are as many as clients make up."""


class Expected(NamedTuple):
    """Tokens that a question will take: `least` is what it says itself, `likely` has our guess at its answers, too."""

    least: int
    likely: int


class Seen(NamedTuple):
    """Tokens of an answer, as a key and model took them lately: on average, and at most."""

    average: float
    peak: float


class Expectation:
    """Goes by the cap that a question has, else by what answers to the same key and model took lately."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], Seen] = OrderedDict()

    def tokens(self, key: str, chat: ChatRequest) -> Expected:
        """Of the prompt and of all answers; at least 1."""
        sampling, answers = chat.sampling, chat.choice_count or 1
        prompt = tokens(prompt_size(chat)) or 1
        if sampling.HasField("max_output_tokens"):
            cap = sampling.max_output_tokens
        elif sampling.HasField("max_tokens"):
            cap = sampling.max_tokens
        else:
            seen = self._seen.get((key, chat.model))
            return Expected(prompt, prompt + round(_FIRST_GUESS if seen is None else seen.average) * answers)
        capped = prompt + max(cap, 0) * answers
        return Expected(capped, capped)

    def seen(self, key: str, model: str) -> Seen | None:
        """What answers took lately; None: there were none."""
        return self._seen.get((key, model))

    def note(self, key: str, model: str, took: float) -> None:
        """An answer took so many tokens."""
        name = (key, model)
        seen = self._seen.get(name)
        if seen is None:
            seen = Seen(took, took)
        else:
            average = seen.average + _WEIGHT * (took - seen.average)
            seen = Seen(average, max(took, seen.peak * (1 - _FADE)))
        self._seen[name] = seen
        self._seen.move_to_end(name)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
