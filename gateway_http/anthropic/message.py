"""A turn of Anthropic's conversation, from JSON to the messages of `tollway.chat.v1` that it comes to.

A turn of the user's may hold the results of tools among other blocks. Each result becomes a message of its own, and
what stands around them messages of the user's, in the order in which they stood: whoever joins neighbours again has the
turn.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.anthropic.content import REMARKS, cache_control, kind_of, read_block, read_blocks
from gateway_http.field_reading import Readers, Wrong, a, encode_json, into, json_of, read_each, read_fields, skip
from mesh.call_places import forget_last_places
from tollway.chat.v1 import chat_pb2 as pb

_ROLES = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM}


def read_system(chat: pb.ChatRequest, value: Any) -> None:
    """The instructions before the conversation: a string, or blocks."""
    read_blocks(chat.messages.add(role=pb.ROLE_SYSTEM).content, value)


def read_turn(chat: pb.ChatRequest, value: Any) -> None:
    """Adds what one turn says. Raises Wrong."""
    fields = a(dict, value)
    for name in ("role", "content"):
        if fields.get(name) is None:
            raise Wrong("must be given", name)
    turn = _Turn(chat)
    left = read_fields(_TURN, turn, {"role": None, **fields})  # the role first, wherever it stands
    if left or not turn.begun:
        turn.message().extra_json = json_of(left)
    if turn.role == pb.ROLE_ASSISTANT:
        forget_last_places(turn.message())


class _Turn:
    """Where the next block of a turn goes."""

    def __init__(self, chat: pb.ChatRequest) -> None:
        self._chat = chat
        self._message: pb.Message | None = None
        self.role: pb.Role.ValueType = pb.ROLE_UNSPECIFIED
        self.begun = False

    def message(self) -> pb.Message:
        """The message of the turn's own role that is being written."""
        self.begun = True
        if self._message is None:
            self._message = self._chat.messages.add(role=self.role)
        return self._message

    def result(self) -> pb.Message:
        """A message for a tool's result; what follows is said in another."""
        self.begun, self._message = True, None
        return self._chat.messages.add(role=pb.ROLE_TOOL)


def _role(turn: _Turn, value: Any) -> None:
    role = _ROLES.get(a(str, value))
    if role is None:
        raise Wrong(f"must be one of {', '.join(_ROLES)}")
    turn.role = role


def _content(turn: _Turn, value: Any) -> None:
    if isinstance(value, list):
        read_each(partial(_block, turn), value)
    else:
        read_blocks(turn.message().content, value)


def _block(turn: _Turn, value: Any) -> None:
    kind = kind_of(value)
    if kind == "tool_use":
        if turn.role != pb.ROLE_ASSISTANT:
            raise Wrong("is a call, which is only allowed in a message of the assistant's")
        _tool_use(turn.message(), value)
    elif kind == "tool_result":
        if turn.role != pb.ROLE_USER:
            raise Wrong("is a tool's result, which is only allowed in a message of the user's")
        _tool_result(turn.result(), value)
    elif kind not in REMARKS:
        read_block(turn.message().content.add(), value)


def _tool_use(message: pb.Message, value: dict[str, Any]) -> None:
    call = message.tool_calls.add(type="function", place=len(message.content))
    call.extra_json = json_of(read_fields(_TOOL_USE, call, value))
    for name in ("id", "name", "input"):
        if value.get(name) is None:
            raise Wrong("must be given", name)


def _tool_result(message: pb.Message, value: dict[str, Any]) -> None:
    control = value.pop("cache_control", None)
    left = read_fields(_TOOL_RESULT, message, value) or {}
    if not message.tool_call_id:
        raise Wrong("must be given: the id of the call that this answers", "tool_use_id")
    if control is not None:
        try:
            control = _cache_up_to(message, control)
        except Wrong as wrong:
            wrong.rise("cache_control")
            raise
        if control is not None:
            left["cache_control"] = control
    message.extra_json = json_of(left)


def _cache_up_to(result: pb.Message, control: Any) -> Any:
    """The prompt up to a result is the prompt up to the last thing it says, if it says any."""
    last = result.content[-1] if result.content else None
    return control if last is None or last.HasField("cache_control") else cache_control(last, control)


_TURN: Readers = {"role": _role, "content": _content}

_TOOL_USE: Readers = {
    "type": skip,
    "id": into("id", str),
    "name": into("name", str),
    "input": lambda call, value: setattr(call, "arguments", encode_json(a(dict, value)).decode()),
    "signature": into("signature", str),
    **REMARKS,
}
_TOOL_RESULT: Readers = {
    "type": skip,
    "tool_use_id": into("tool_call_id", str),
    "content": lambda message, value: read_blocks(message.content, value),
    "is_error": into("tool_failed", bool),
}
