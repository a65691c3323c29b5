"""How Anthropic's request wants the model to think and the answer to look, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from typing import Any

from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    encode_json,
    into,
    json_into,
    json_of,
    read_fields,
    skip,
    whole_number,
)
from tollway.chat.v1 import chat_pb2 as pb


def _thinking(chat: pb.ChatRequest, value: Any) -> Any:
    """Thinking within a budget, and none at all, have a place; how much is thought of itself ("adaptive") has none."""
    kind = a(dict, value).get("type")
    if kind == "enabled":
        if value.get("budget_tokens") is None:
            raise Wrong("must be given", "budget_tokens")
        return read_fields(_THINKING, chat, value)
    if kind == "disabled":
        chat.reasoning_budget_tokens = 0
        return read_fields({"type": skip}, chat, value)
    if not isinstance(kind, str):
        raise Wrong("must be given", "type")
    return read_fields({"display": _display}, chat, value)


def _budget(chat: pb.ChatRequest, value: Any) -> None:
    if whole_number(value, 64) < 1:
        raise Wrong("must be at least 1")
    chat.reasoning_budget_tokens = value


_DISPLAYS = {"summarized": "auto", "omitted": "none"}


def _display(chat: pb.ChatRequest, value: Any) -> Any:
    if a(str, value) not in _DISPLAYS:
        return value
    chat.reasoning_summary = _DISPLAYS[value]
    return None


def _format(chat: pb.ChatRequest, value: Any) -> Any:
    if chat.HasField("response_format"):
        raise Wrong("must not stand beside another format of the answer")
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of format", "type")
    if kind != "json_schema":
        chat.response_format.extra_json = encode_json(value)
        return
    if value.get("schema") is None:
        raise Wrong("must be given", "schema")
    chat.response_format.kind = pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA
    chat.response_format.extra_json = json_of(read_fields(_FORMAT, chat.response_format, value))


_THINKING: Readers = {"type": skip, "budget_tokens": _budget, "display": _display}
_OUTPUT: Readers = {"effort": into("reasoning_effort", str), "format": _format}
_FORMAT: Readers = {"type": skip, "schema": json_into("schema_json")}

OUTPUT: Readers = {
    "thinking": _thinking,
    "output_config": lambda chat, value: read_fields(_OUTPUT, chat, a(dict, value)),
    "output_format": _format,
}
