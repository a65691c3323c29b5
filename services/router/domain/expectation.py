"""How many tokens a question will take, before it is asked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from services.router.domain.usage import prompt_size, tokens
from tollway.chat.v1.chat_pb2 import ChatRequest

_FIRST_GUESS = 256
"""Tokens of an answer to somebody who has had none."""

_WEIGHT = 0.2
"""Of the newest answer in the average."""

_MOST = 4096
"""Averages kept. Pass-through names are as many as clients make up."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Tokens that a question will take: `least` is what it says itself, `likely` has our guess at its answers, too."""

    least: int
    likely: int


class Expectation:
    """Goes by the cap that a question has, else by what answers to the same key and model took lately."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._averages: OrderedDict[tuple[str, str], float] = OrderedDict()

    def tokens(self, key: str, chat: ChatRequest) -> Expected:
        """Of the prompt and of all answers; at least 1."""
        sampling, answers = chat.sampling, chat.choice_count or 1
        prompt = tokens(prompt_size(chat)) or 1
        if sampling.HasField("max_output_tokens"):
            cap = sampling.max_output_tokens
        elif sampling.HasField("max_tokens"):
            cap = sampling.max_tokens
        else:
            return Expected(prompt, prompt + round(self._averages.get((key, chat.model), _FIRST_GUESS)) * answers)
        capped = prompt + max(cap, 0) * answers
        return Expected(capped, capped)

    def note(self, key: str, model: str, took: float) -> None:
        """An answer took so many tokens."""
        name = (key, model)
        average = self._averages.get(name)
        self._averages[name] = took if average is None else average + _WEIGHT * (took - average)
        self._averages.move_to_end(name)
        if len(self._averages) > self._most:
            self._averages.popitem(last=False)
