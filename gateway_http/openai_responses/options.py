"""Tools, the shape of the answer and how it is thought about in OpenAI's Responses, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    encode_json,
    into,
    json_into,
    json_of,
    read_each,
    read_fields,
    skip,
    under,
)
from gateway_http.openai_chat.message import read_cache_control
from gateway_http.openai_chat.tools import FORMATS, SCHEMA, tool_choice
from tollway.chat.v1 import chat_pb2 as pb


def read_tools(chat: pb.ChatRequest, value: Any) -> None:
    """Functions and tools of one's own; every other kind is known by its type, and is whole in the extra fields."""
    read_each(lambda item: _tool(chat, item), value)


def _tool(chat: pb.ChatRequest, value: Any) -> None:
    kind = a(dict, value).get("type")
    if kind is None:
        raise Wrong("must be given: the kind of this tool", "type")
    tool = chat.tools.add()
    tool.extra_json = json_of(read_fields(_TOOLS.get(kind, _OTHER) if isinstance(kind, str) else _OTHER, tool, value))
    if kind in _TOOLS and not tool.name:
        raise Wrong("must be given", "name")


_OTHER: Readers = {"type": into("type", str)}
_NAMED: Readers = {**_OTHER, "name": into("name", str), "description": into("description", str)}
_TOOLS: dict[str, Readers] = {
    "custom": _NAMED,
    "function": {
        **_NAMED,
        "parameters": json_into("parameters_json"),
        "strict": into("strict", bool),
        "cache_control": read_cache_control,
    },
}

read_tool_choice = tool_choice({"type": skip, "name": into("name", str)}, "name")


def _format(answer: pb.ResponseFormat, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of format", "type")
    if kind not in FORMATS:
        answer.extra_json = encode_json(value)
        return
    answer.kind = FORMATS[kind]
    answer.extra_json = json_of(read_fields(_FORMAT if kind == "json_schema" else {"type": skip}, answer, value))
    if kind == "json_schema" and not answer.schema_json:
        raise Wrong("must be given", "schema")


_FORMAT: Readers = {"type": skip, **SCHEMA}
_TEXT: Readers = {"format": under("response_format", _format)}


def read_text_options(chat: pb.ChatRequest, value: Any) -> Any:
    return read_fields(_TEXT, chat, {name: given for name, given in a(dict, value).items() if given is not None})


_REASONING: Readers = {
    "effort": into("reasoning_effort", str),
    "summary": into("reasoning_summary", str),
    "generate_summary": into("reasoning_summary", str),  # what it was called first
}


def read_reasoning(chat: pb.ChatRequest, value: Any) -> Any:
    return read_fields(_REASONING, chat, a(dict, value))


_LOGPROBS, _PROOFS = "message.output_text.logprobs", "reasoning.encrypted_content"


def read_include(chat: pb.ChatRequest, value: Any) -> Any:
    """What an answer is to show more of. Proofs of thinking are shown unasked, where there are any."""
    names: list[str] = []
    read_each(lambda name: names.append(a(str, name)), value)
    if _LOGPROBS in names:
        chat.sampling.logprobs = True
    return [name for name in names if name not in (_LOGPROBS, _PROOFS)] or None


def refuse(why: str, *allowed: Any) -> Any:
    """A reader for what cannot be asked here. `allowed` are values that ask for nothing."""
    return partial(_refuse, why, allowed)


def _refuse(why: str, allowed: tuple[Any, ...], target: Any, value: Any) -> None:
    if value not in allowed:
        raise Wrong(why)
