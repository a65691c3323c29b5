"""Reading what Gemini answers: a JSON object, or the error that it carries in place of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.providers.adapters.gemini.errors import named_error
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, sent_json

NOT_UNDERSTOOD = (TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What reading an answer of another shape than Gemini's raises, from here or from protobuf's own type checks."""


@contextmanager
def reading(what: str, body: bytes) -> Iterator[Json]:
    """The answer in a body. Raises UPSTREAM_MALFORMED, within the block too, or the error that a 200 carried."""
    try:
        answer = parse(body)
        if error := named_error(answer):
            raise error
        yield answer
    except NOT_UNDERSTOOD as error:
        raise malformed(f"the provider's answer is not {what} ({type(error).__name__})") from None


def parse(data: bytes) -> Json:
    """A JSON object, alone or in a list of one. Bytes that are not UTF-8 become U+FFFD. Raises ValueError."""
    value = sent_json(data)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
