"""What repeats in a stream: nearly all its events are alike, byte for byte, but for a piece of text.

Once one of them has been read, the text of the others is found without reading what stands around it, which takes a
fifth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import orjson

from services.providers.domain.json_objects import Json
from services.providers.domain.sse import Event

_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_MOST_LESSONS = 8
"""A stream whose events were unlike each other so often is not one that repeats itself."""
_PROBE = "some text"


def plain_text(choice: Json) -> str | None:
    """The text of a choice that has nothing but text to add; None of any other."""
    delta = choice.get("delta")
    if not delta or len(delta) != 1 or choice.get("finish_reason") or choice.get("logprobs"):
        return None
    text = delta.get("content")
    return text if isinstance(text, str) and choice.keys() <= _CHOICE else None


class Repetition:
    """Learns from the events that were read, and finds the text in those that repeat them."""

    def __init__(self) -> None:
        self.choice = 0
        """The index of the choice whose text is found."""
        self._before = self._after = b""
        self._lessons = 0

    def find(self, events: Sequence[Event], place: int) -> list[str]:
        """The texts of the events from that place on, as far as they are otherwise like the one learned."""
        before, after, texts = self._before, self._after, []
        if before:
            begin, end = len(before), -len(after)
            for kind, written in islice(events, place, None):
                if kind or not written.startswith(before) or not written.endswith(after):
                    break
                try:
                    text = orjson.loads(written[begin:end])
                except orjson.JSONDecodeError:
                    break
                if type(text) is not str:
                    break
                texts.append(text)
        return texts

    def learn(self, written: bytes, event: Json) -> None:
        """Remembers what stands around the event's text, if text is all it has to say."""
        choices = event.get("choices")
        if not choices or len(choices) != 1 or event.get("usage") or not event.keys() <= _FIELDS:
            return
        choice = choices[0]
        text = plain_text(choice)
        if text is None or self._lessons == _MOST_LESSONS:
            return
        self._lessons += 1
        before, literal, after = written.rpartition(orjson.dumps(text))
        other = {**event, "choices": [{**choice, "delta": {"content": _PROBE}}]}
        if literal and _means(before + orjson.dumps(_PROBE) + after, other):
            self._before, self._after, self.choice = before, after, choice.get("index") or 0


def _means(written: bytes, event: Json) -> bool:
    """Whether that is how the event is written: what looks like its text may have been something else."""
    try:
        return bool(orjson.loads(written) == event)
    except orjson.JSONDecodeError:
        return False
