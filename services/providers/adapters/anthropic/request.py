"""ChatRequest to the body of Anthropic's `/messages`, and of `/messages/count_tokens`.

What other dialects can say and this one cannot goes through `unsaid`. Three things are put otherwise than they came:

- System prompts that come later in the conversation move to its beginning, as in Anthropic's own layer for OpenAI's
  SDKs; a question in Anthropic's dialect keeps them where they are, for the models that take them there.
- The answers to several calls, and what the user says with them, are one turn.
- A schema's name and description, which have no field of their own here, become its title and description.
"""

from __future__ import annotations

from typing import Any

from mesh.call_places import as_said
from mesh.errors import invalid
from services.providers.adapters.anthropic.content import block_of, blocks_of, plain_if_can_be
from services.providers.adapters.anthropic.extra import Telling, lay_over
from services.providers.adapters.anthropic.options import limit, say_options
from services.providers.adapters.anthropic.thinking import say_thinking
from services.providers.adapters.anthropic.tools import call_told, choice_told, result_told, tools_told
from services.providers.domain.json_objects import Json, json_object, written
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

VERSION = "2023-06-01"
"""The version of the API. Its successor takes less (no temperature, no top_p, no top_k), and answers alike."""
_SYSTEM = (chat_pb2.ROLE_SYSTEM, chat_pb2.ROLE_DEVELOPER)
_UNCOUNTED = (
    "max_tokens", "stop_sequences", "temperature", "top_p", "top_k", "metadata", "service_tier", "stream",
    "container", "inference_geo", "diagnostics",
)  # fmt: skip
"""What a question may have, and the counting of its tokens may not."""


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is no JSON object, and UNSUPPORTED_FEATURE for what
    Anthropic's API cannot be told.
    """
    body = _body(chat, model, Telling.of(chat, unsaid))
    body.pop("stream", None)
    if stream:
        body["stream"] = True
    return _encoded("/messages", body)


def encode_count(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that counts the tokens of this question. Raises as `encode_request` does."""
    body = _body(chat, model, Telling.of(chat, unsaid))
    for name in _UNCOUNTED:
        body.pop(name, None)
    return _encoded("/messages/count_tokens", body)


def _encoded(path: str, body: Json) -> Encoded:
    headers = {"anthropic-version": VERSION}
    betas = body.pop("anthropic_beta", None)  # what is a header here is a field where Claude is had elsewhere
    if betas:
        headers["anthropic-beta"] = betas if isinstance(betas, str) else ",".join(map(str, betas))
    return Encoded(path, written(body), headers)


def _body(chat: chat_pb2.ChatRequest, model: str, telling: Telling) -> Json:
    body: Json = {"model": model, "max_tokens": limit(chat, model)}
    _say_conversation(chat, body, telling)
    tools = tools_told(chat, telling)
    if tools:
        body["tools"] = tools
    if choice := choice_told(chat, telling, bool(tools)):
        body["tool_choice"] = choice
    say_options(chat, model, body, telling)
    say_thinking(chat, model, body, telling)
    if chat.HasField("response_format"):
        _say_format(chat.response_format, body, telling)
    lay_over(body, chat.extra_json, "chat", telling)
    body["model"] = model
    return body


def _say_conversation(chat: chat_pb2.ChatRequest, body: Json, telling: Telling) -> None:
    system: list[Json] = []
    turns: list[Json] = []
    for i, message in enumerate(chat.messages):
        path = f"chat.messages[{i}]"
        if message.role in _SYSTEM and not (telling.own and (turns or message.extra_json)):
            system += _system(message, path, telling)
        elif turn := _turn(message, path, telling):
            _join(turn, turns)
    if not turns:
        raise invalid("chat.messages", "must hold at least one message that says something besides the system prompt")
    if system:
        body["system"] = plain_if_can_be(system)
    body["messages"] = [{**turn, "content": plain_if_can_be(turn["content"])} for turn in turns]


def _system(message: chat_pb2.Message, path: str, telling: Telling) -> list[Json]:
    _check_name(message, path, telling)
    lay_over({}, message.extra_json, path, telling)  # nothing to lay it over: a system prompt is its blocks alone
    return blocks_of(message, path, telling)


def _turn(message: chat_pb2.Message, path: str, telling: Telling) -> Json | None:
    """One message as a turn; None where nothing of it is left that could be told."""
    if message.role == chat_pb2.ROLE_TOOL:
        return {"role": "user", "content": [result_told(message, path, telling)]}
    if message.role == chat_pb2.ROLE_FUNCTION:
        telling.unsaid.refuse(path, "answers a call without an id, as OpenAI's functions once did")
        return None
    role = _role(message, path)
    _check_name(message, path, telling)
    content = _answered(message, path, telling) if role == "assistant" else blocks_of(message, path, telling)
    if not content:
        return None
    return {**lay_over({"role": role}, message.extra_json, path, telling), "content": content}


def _answered(message: chat_pb2.Message, path: str, telling: Telling) -> list[Json]:
    """What the model said, thought and wanted to call, in that order: thinking goes before the call that it led to."""
    told = (
        call_told(said, f"{path}.tool_calls[{i}]", telling)
        if isinstance(said, chat_pb2.ToolCall)
        else block_of(said, f"{path}.content[{i}]", telling)
        for i, said in as_said(message)
    )
    return [block for block in told if block]


def _role(message: chat_pb2.Message, path: str) -> str:
    if message.role == chat_pb2.ROLE_ASSISTANT:
        return "assistant"
    if message.role in _SYSTEM:
        return "system"
    if message.role == chat_pb2.ROLE_USER:
        return "user"
    raise invalid(f"{path}.role", "is missing")


def _check_name(message: chat_pb2.Message, path: str, telling: Telling) -> None:
    if message.name:
        telling.unsaid.refuse(f"{path}.name", "has no place in Anthropic's API, which tells no speakers apart")


def _join(turn: Json, turns: list[Json]) -> None:
    """Adds a turn; to the one before, where both are the user's and hold the answers of tools."""
    before = turns[-1] if turns else {}
    plain = turn.keys() == before.keys() == {"role", "content"} and turn["role"] == before["role"] == "user"
    if plain and any(block.get("type") == "tool_result" for block in (*before["content"], *turn["content"])):
        before["content"] += turn["content"]
    else:
        turns.append(turn)


def _say_format(wanted: chat_pb2.ResponseFormat, body: Json, telling: Telling) -> None:
    path = "chat.response_format"
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        telling.unsaid.refuse(path, "asks for any JSON object; Anthropic's API needs the schema of one (json_schema)")
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        said: Json = {"type": "json_schema", "schema": _schema(wanted, path)}
        lay_over(said, wanted.extra_json, path, telling)
        body.setdefault("output_config", {})["format"] = said
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        lay_over({}, wanted.extra_json, path, telling)
    elif telling.own and wanted.extra_json:
        body.setdefault("output_config", {})["format"] = json_object(wanted.extra_json, f"{path}.extra_json")
    elif wanted.extra_json:
        telling.unsaid.refuse(path, "is of a kind that has no place in Anthropic's API")
    else:
        raise invalid(f"{path}.kind", "is missing")


def _schema(wanted: chat_pb2.ResponseFormat, path: str) -> dict[str, Any]:
    schema = json_object(wanted.schema_json, f"{path}.schema_json")
    if wanted.name:
        schema.setdefault("title", wanted.name)
    if wanted.description:
        schema.setdefault("description", wanted.description)
    return schema
