"""Characters in halves. JSON may write one beyond the first 65536 as two escapes, and servers that cut what they say
between those send JSON that no text can hold: a half alone is not a character."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from services.providers.domain.json_objects import Json

Path = tuple[Any, ...]
"""Where in an event's choice a text stands, entries of lists by their `index`."""

_TOO_DEEP = "nested too deeply"
_decode = msgspec.json.Decoder().decode


def parse(data: bytes) -> Json:
    """A JSON object. Bytes that are not UTF-8, and halves, become U+FFFD. Raises ValueError for anything else."""
    try:
        return _object(_decode(data))
    except ValueError:
        return _object(_in_depth(_whole, _with_halves(data)))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


class Halves:
    """Reads the events of a stream, and puts together what was cut."""

    def __init__(self) -> None:
        self.held: dict[Path, str] = {}
        """First halves whose second may be the next thing that is said there."""

    def parse(self, data: bytes) -> Json:
        """As `parse`, but that a first half at a text's end waits for what comes next of it."""
        if not self.held:
            try:
                return _object(_decode(data))
            except ValueError:
                pass  # it may be for a half
            except RecursionError:
                raise ValueError(_TOO_DEEP) from None
        event = _in_depth(self._event, _object(_with_halves(data)))
        return _object(_in_depth(_whole, event))

    def _event(self, event: Json) -> Json:
        for choice in event.get("choices") or ():
            if isinstance(choice, dict) and isinstance(delta := choice.get("delta") or {}, dict):
                choice["delta"] = self._delta(delta, choice.get("index") or 0, ends=bool(choice.get("finish_reason")))
        return event

    def _delta(self, delta: Json, index: int, *, ends: bool) -> Json:
        joined: Json = self._joined(delta, (index,))
        if ends:
            # What is not the delta's own field is a piece of JSON that was cut, and stays cut.
            for path in [path for path in self.held if path[0] == index]:
                half = self.held.pop(path)
                if len(path) == 2:
                    joined[path[1]] = (joined.get(path[1]) or "") + half
        return joined

    def _joined(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {name: self._joined(each, (*path, name)) for name, each in value.items()}
        if isinstance(value, list):
            return [self._joined(each, (*path, _number(each, place))) for place, each in enumerate(value)]
        if not isinstance(value, str) or not value:
            return value
        text = self.held.pop(path, "") + value
        if "\ud800" <= text[-1] <= "\udbff":
            self.held[path], text = text[-1], text[:-1]
        return text


def _number(entry: Any, place: int) -> Any:
    number = entry.get("index") if isinstance(entry, dict) else None
    return number if isinstance(number, int) else place


def _with_halves(data: bytes) -> Any:
    """What is written there, with its halves. What is no JSON raises what the other decoder does."""
    try:
        return _in_depth(lambda text: json.loads(text, parse_constant=_no_number), data.decode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None


def _in_depth(read: Callable[[Any], Any], value: Any) -> Any:
    """Raises ValueError for what is nested more deeply than can be read."""
    try:
        return read(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _whole(value: Any) -> Any:
    """The value with halves that belong together as one character, and U+FFFD for those that stand alone."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def _object(value: Any) -> Json:
    if type(value) is not dict:
        raise ValueError("not an object")
    return value
