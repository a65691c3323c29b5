"""The conversation, in Converse's turns: system blocks first, then user and assistant taking turns."""

from __future__ import annotations

from mesh.call_places import as_said
from mesh.errors import invalid
from services.providers.adapters.bedrock.content import block
from services.providers.adapters.bedrock.tools import cache_point, call_id, tool_use
from services.providers.domain.json_objects import Json
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_ROLES = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "system",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_TOOL: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
}
_IN_A_RESULT = {"text", "json", "image", "document", "video", "searchResult"}
_IN_A_SYSTEM_PROMPT = {"text", "guardContent", "cachePoint"}


def conversation(
    chat: chat_pb2.ChatRequest, model: str, words: OwnWords, unsaid: Unsaid
) -> tuple[list[Json], list[Json]]:
    """The system's blocks, and the turns. Neighbours of one role are one turn.

    What the system says in the middle of a conversation stays there, as a turn of its own: not every model takes one.
    """
    system: list[Json] = []
    turns: list[Json] = []
    for i, message in enumerate(chat.messages):
        path = f"chat.messages[{i}]"
        role = _role(message, path, unsaid)
        blocks = _blocks(message, path, model, words, unsaid) if role else []
        if role == "system" and not turns:
            system += _sayable(blocks, _IN_A_SYSTEM_PROMPT, path, "a system prompt", unsaid)
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
        if message.role != chat_pb2.ROLE_TOOL:
            words.lay_over(turns[-1] if turns else {}, message.extra_json, path)
    if not turns:
        raise invalid("chat.messages", "must hold a turn that says something besides the system's")
    return system, turns


def _role(message: chat_pb2.Message, path: str, unsaid: Unsaid) -> str:
    role = _ROLES.get(message.role, "")
    if message.role == chat_pb2.ROLE_FUNCTION:
        unsaid.refuse(f"{path}.role", "function is a role that Converse does not have: answer a tool call by its id")
    elif not role:
        raise invalid(f"{path}.role", "is missing")
    if message.name:
        unsaid.leave_out(f"{path}.name")
    return role


def _blocks(message: chat_pb2.Message, path: str, model: str, words: OwnWords, unsaid: Unsaid) -> list[Json]:
    blocks: list[Json] = []
    points: list[Json] = []
    for i, part in as_said(message):
        if isinstance(part, chat_pb2.ToolCall):
            if use := tool_use(part, f"{path}.tool_calls[{i}]", words, unsaid):
                blocks.append(use)
            continue
        place = f"{path}.content[{i}]"
        if said := block(part, place, model, message.role == chat_pb2.ROLE_ASSISTANT, words, unsaid):
            blocks.append(said)
        if part.HasField("cache_control"):
            point = cache_point(part.cache_control, place, unsaid)
            # In a tool's answer there is no room for one: it goes after the answer, which is where the prefix ends.
            (points if message.role == chat_pb2.ROLE_TOOL else blocks).append(point)
    if message.role == chat_pb2.ROLE_TOOL:
        blocks = [_tool_result(message, blocks, path, words, unsaid), *points[-1:]]
    return blocks


def _tool_result(message: chat_pb2.Message, blocks: list[Json], path: str, words: OwnWords, unsaid: Unsaid) -> Json:
    content = _sayable(blocks, _IN_A_RESULT, path, "a tool's answer", unsaid)
    result: Json = {"toolUseId": call_id(message.tool_call_id), "content": content}
    if message.tool_failed:
        result["status"] = "error"
    return words.lay_over({"toolResult": result}, message.extra_json, path)


def _sayable(blocks: list[Json], kinds: set[str], path: str, where: str, unsaid: Unsaid) -> list[Json]:
    fitting = [each for each in blocks if each.keys() & kinds]
    if len(fitting) < len(blocks):
        others = {kind for each in blocks if each not in fitting for kind in each}
        unsaid.refuse(f"{path}.content", f"holds {', '.join(sorted(others))}, which cannot stand in {where}")
    return fitting
