"""A reader of Anthropic's requests that knows nothing of the adapter: what a server would understand of them."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import orjson

from tollway.chat.v1 import chat_pb2 as pb

Json = dict[str, Any]

_ROLES = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM}
_CHOICES = {
    "auto": pb.TOOL_CHOICE_MODE_AUTO,
    "none": pb.TOOL_CHOICE_MODE_NONE,
    "any": pb.TOOL_CHOICE_MODE_REQUIRED,
    "tool": pb.TOOL_CHOICE_MODE_NAMED,
}
_ENDS = {
    "char_location": "char_index",
    "page_location": "page_number",
    "content_block_location": "block_index",
    "search_result_location": "block_index",
}


def read_request(fields: Json) -> pb.ChatRequest:
    """The question in a body's fields, as it would be said in `tollway.chat.v1`. Takes `fields` apart."""
    chat = pb.ChatRequest(dialect="anthropic", model=fields.pop("model"))
    if "system" in fields:
        _blocks(fields.pop("system"), chat.messages.add(role=pb.ROLE_SYSTEM).content)
    for turn in fields.pop("messages"):
        _turn(turn, chat)
    _sampling(fields, chat)
    for tool in fields.pop("tools", ()):
        _tool(tool, chat.tools.add())
    if choice := fields.pop("tool_choice", None):
        _choice(choice, chat)
    if thinking := fields.pop("thinking", None):
        _thinking(thinking, chat)
    config = fields.pop("output_config", {})
    chat.reasoning_effort = config.pop("effort", "")
    if wanted := config.pop("format", None):
        assert wanted.pop("type") == "json_schema"
        chat.response_format.kind = pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA
        chat.response_format.schema_json = orjson.dumps(wanted.pop("schema"))
        assert not wanted
    chat.user = fields.pop("metadata", {}).get("user_id", "")
    if tier := fields.pop("service_tier", None):
        chat.service_tier = "default" if tier == "standard_only" else tier
    assert not config
    chat.extra_json = _left(fields)
    return chat


def _left(fields: Json) -> bytes:
    return orjson.dumps(fields) if fields else b""


def _sampling(fields: Json, chat: pb.ChatRequest) -> None:
    chat.sampling.max_output_tokens = fields.pop("max_tokens")
    for name in ("temperature", "top_p", "top_k"):
        if name in fields:
            setattr(chat.sampling, name, fields.pop(name))
    chat.sampling.stop.extend(fields.pop("stop_sequences", ()))


def _turn(turn: Json, chat: pb.ChatRequest) -> None:
    role = _ROLES[turn.pop("role")]
    content = turn.pop("content")
    message: pb.Message | None = None
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if block["type"] == "tool_result":
            _result(block, chat.messages.add(role=pb.ROLE_TOOL))
            message = None
            continue
        message = message or chat.messages.add(role=role)
        if block["type"] == "tool_use":
            _call(block, message.tool_calls.add(type="function"))
        else:
            _block(block, message.content.add())
    assert not turn


def _result(block: Json, into: pb.Message) -> None:
    assert block.pop("type") == "tool_result"
    into.tool_call_id = block.pop("tool_use_id")
    into.tool_failed = block.pop("is_error", False)
    _blocks(block.pop("content", []), into.content)
    into.extra_json = _left(block)


def _call(block: Json, into: pb.ToolCall) -> None:
    assert block.pop("type") == "tool_use"
    into.id, into.name = block.pop("id"), block.pop("name")
    into.arguments = orjson.dumps(block.pop("input")).decode()
    into.extra_json = _left(block)


def _blocks(content: Any, into: Any) -> None:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        _block(block, into.add())


def _block(block: Json, into: pb.ContentPart) -> None:
    if mark := block.pop("cache_control", None):
        assert mark.pop("type") == "ephemeral"
        into.cache_control.lifetime = mark.pop("ttl", "")
        assert not mark
    kind = block.pop("type")
    if kind == "text":
        into.text = block.pop("text")
        for citation in block.pop("citations", ()):
            _citation(citation, into.citations.add())
    elif kind == "thinking":
        into.reasoning.text, into.reasoning.signature = block.pop("thinking"), block.pop("signature")
        into.reasoning.issuer = "anthropic"
    elif kind == "redacted_thinking":
        into.reasoning.redacted, into.reasoning.issuer = block.pop("data").encode(), "anthropic"
    elif kind == "image":
        _source(block.pop("source"), into.image)
    elif kind == "document" and block["source"]["type"] != "content":
        _source(block.pop("source"), into.file)
        into.file.filename = block.pop("title", None) or ""
    else:
        block = {"type": kind, **block}
    into.extra_json = _left(block)


def _source(source: Json, into: Any) -> None:
    kind = source.pop("type")
    if kind == "url":
        into.url = source.pop("url")
    elif kind == "file":
        into.file_id = source.pop("file_id")
    else:
        into.media_type, data = source.pop("media_type"), source.pop("data")
        into.data = data.encode() if kind == "text" else b64decode(data)
    assert not source


def _citation(citation: Json, into: pb.Citation) -> None:
    into.type, into.cited_text = citation.pop("type"), citation.pop("cited_text", "")
    if into.type == "search_result_location":
        into.url = citation.pop("source", "")
    into.url = into.url or citation.pop("url", "")
    into.title = citation.pop("title", None) or citation.pop("document_title", None) or ""
    if "document_index" in citation:
        into.document_index = citation.pop("document_index")
    if end := _ENDS.get(into.type):
        into.source_start, into.source_end = citation.pop(f"start_{end}"), citation.pop(f"end_{end}")
    into.extra_json = _left(citation)


def _tool(tool: Json, into: pb.ToolDefinition) -> None:
    into.type, into.name = tool.pop("type", "function"), tool.pop("name")
    into.description = tool.pop("description", "")
    if "input_schema" in tool:
        into.parameters_json = orjson.dumps(tool.pop("input_schema"))
    if "strict" in tool:
        into.strict = tool.pop("strict")
    if mark := tool.pop("cache_control", None):
        into.cache_control.lifetime = mark.get("ttl", "")
    into.extra_json = _left(tool)


def _choice(choice: Json, chat: pb.ChatRequest) -> None:
    if "disable_parallel_tool_use" in choice:
        chat.parallel_tool_calls = not choice.pop("disable_parallel_tool_use")
    chat.tool_choice.mode = _CHOICES[choice.pop("type")]
    chat.tool_choice.name = choice.pop("name", "")
    assert not choice


def _thinking(thinking: Json, chat: pb.ChatRequest) -> None:
    kind = thinking.pop("type")
    if display := thinking.pop("display", None):
        chat.reasoning_summary = {"summarized": "auto", "omitted": "none"}[display]
    chat.reasoning_budget_tokens = 0 if kind == "disabled" else thinking.pop("budget_tokens")
    assert not thinking
