"""The tools that an answer asks for, whole and in pieces."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


def call_id(given: str, length: int) -> str:
    """The id of a call for a server that wants it of so many letters and digits, which others do not; 0: of any.

    It depends on nothing but what is given, so a call and its answer stay tied together.
    """
    if not length or not given or (len(given) == length and given.isascii() and given.isalnum()):
        return given
    return sha256(given.encode()).hexdigest()[:length]


def keep_tool_call(call: Json, into: chat_pb2.ToolCall) -> None:
    into.id = call.pop("id", None) or ""
    into.type = call.pop("type", None) or "function"
    if function := call.pop("function", None):
        into.name = function.pop("name", None) or ""
        into.arguments = arguments(function.pop("arguments", None))
        if function:
            call["function"] = function
    take_signature(call, into)
    if call:
        into.extra_json = encode_json(call)


def take_signature(call: Json, into: chat_pb2.ToolCall | chat_pb2.ToolCallDelta) -> None:
    """Takes out the proof of the thinking behind a call, where Google puts it; what stands beside it stays."""
    match call.get("extra_content"):
        case {"google": {"thought_signature": str() as signature, **others}, **rest}:
            into.signature = signature
            if others:
                rest["google"] = others
            if rest:
                call["extra_content"] = rest
            else:
                del call["extra_content"]


def arguments(value: Any) -> str:
    """The arguments' text; some servers send them as an object."""
    if isinstance(value, str):
        return value
    return encode_json(value).decode() if value is not None else ""


class ToolCalls:
    """Keeps the pieces of a stream's tool calls apart.

    OpenAI numbers them, and names each in its first piece alone. Others repeat the names, or leave the numbers out, or
    give every call the same one: a new id is a new call, whatever its number.
    """

    def __init__(self) -> None:
        self._current: dict[tuple[int, int | None], tuple[int, str, str]] = {}
        self._next: dict[int, int] = {}

    def keep(self, call: Json, choice: int, into: chat_pb2.ToolCallDelta) -> None:
        """Puts a piece of a call of that choice where it belongs."""
        place = call.pop("index", None)
        identifier = call.pop("id", None) or ""
        function = call.pop("function", None) or {}
        name = function.pop("name", None) or ""
        kind = call.pop("type", None) or ""
        index, known_id, known_name = self._current.get((choice, place), (-1, "", ""))
        if index < 0 or (identifier and known_id and identifier != known_id):
            index, known_id, known_name = max(place or 0, self._next.get(choice, 0)), "", ""
            self._next[choice] = index + 1
            into.type = kind or "function"
        if identifier != known_id:
            into.id = identifier
        if name != known_name:
            into.name = name
        self._current[choice, place] = index, known_id or identifier, known_name or name
        into.index = index
        into.arguments = arguments(function.pop("arguments", None))
        if function:
            call["function"] = function
        take_signature(call, into)
        if call:
            into.extra_json = encode_json(call)
