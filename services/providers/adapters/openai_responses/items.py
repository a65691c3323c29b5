"""A conversation as the Responses' input: a list of items, in the order in which they were said.

What the system says stays where it was said, as an item: `instructions` would put it before everything, as plain text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from mesh.call_places import as_said
from mesh.errors import invalid
from services.providers.adapters.openai.extra import Asked
from services.providers.adapters.openai_responses.content import input_part, output_part
from services.providers.adapters.openai_responses.proof import proven
from services.providers.domain.json_objects import Json, json_object
from services.providers.domain.own_words import is_told_in
from services.providers.domain.tool_failures import failed
from tollway.chat.v1 import chat_pb2

DIALECT = "openai_responses"
ITEM = "item"
"""Where the first part of a `message` item has what the item has that no part has."""
_ROLES = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "developer",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
}
_CONTENT = frozenset({"input_text", "input_image", "input_file", "input_audio", "output_text", "refusal"})
"""Kinds of parts; whatever else has a type is an item of its own."""


def input_items(messages: Iterable[chat_pb2.Message], asked: Asked) -> list[Json]:
    """Raises INVALID_REQUEST for a message of no role, and what cannot be said to `asked.unsaid`."""
    conversation = _Conversation(asked)
    for i, message in enumerate(messages):
        conversation.add(message, f"chat.messages[{i}]")
    return conversation.items


class _Conversation:
    """What was said so far. Answers to tools are written as their calls were."""

    def __init__(self, asked: Asked) -> None:
        self.items: list[Json] = []
        self._asked = asked
        self._custom: set[str] = set()

    def add(self, message: chat_pb2.Message, path: str) -> None:
        if message.role == chat_pb2.ROLE_TOOL:
            self._tool_answer(message, path)
        elif message.role == chat_pb2.ROLE_ASSISTANT:
            self._answer(message, path)
        elif message.role in _ROLES:
            self._told(message, path)
        elif message.role == chat_pb2.ROLE_FUNCTION:
            self._asked.unsaid.refuse(f"{path}.role", "cannot be said in OpenAI's Responses, which number their calls")
        else:
            self._item_of_its_own(message, path)

    def _told(self, message: chat_pb2.Message, path: str) -> None:
        if message.name:
            self._asked.unsaid.refuse(f"{path}.name", "has no place in OpenAI's Responses")
        parts = self._parts(message, path)
        if parts or not message.content:
            said: Json = {"role": _ROLES[message.role], "content": _plain(parts, "input_text")}
            self.items.append(self._asked.lay_over(said, message, path))

    def _parts(self, message: chat_pb2.Message, path: str) -> list[Json]:
        written = [input_part(part, self._asked, f"{path}.content[{i}]") for i, part in enumerate(message.content)]
        return [part for part in written if part is not None]

    def _tool_answer(self, message: chat_pb2.Message, path: str) -> None:
        if len(message.content) == 1 and (item := self._own_item(message.content[0], f"{path}.content[0]")):
            self.items.extend(item)  # the answer to a tool of a kind that has no message's shape
            return
        parts = self._parts(message, path)
        if message.tool_failed:
            parts = failed(parts, "input_text")
        custom = message.tool_call_id in self._custom
        said: Json = {
            "type": "custom_tool_call_output" if custom else "function_call_output",
            "call_id": message.tool_call_id,
            "output": _plain(parts, "input_text"),
        }
        self.items.append(self._asked.lay_over(said, message, path))

    def _item_of_its_own(self, message: chat_pb2.Message, path: str) -> None:
        """An item of a kind that has no message's shape: only `extra_json` describes it."""
        if not (self._asked.own and message.extra_json):
            raise invalid(f"{path}.role", "is missing")
        said: Json = {"content": _plain(parts, "input_text")} if (parts := self._parts(message, path)) else {}
        self.items.append(self._asked.lay_over(said, message, path))

    def _answer(self, message: chat_pb2.Message, path: str) -> None:
        """What the model said earlier, thought and wanted to call."""
        if message.name:
            self._asked.unsaid.leave_out(f"{path}.name")
        about = self._asked.lay_over({"type": "message", "role": "assistant"}, message, path)
        said: Json | None = None
        begun = len(self.items)
        for i, told in as_said(message):
            if isinstance(told, chat_pb2.ToolCall):
                said = None
                self._call(told, f"{path}.tool_calls[{i}]")
                continue
            part, place = told, f"{path}.content[{i}]"
            if (item := self._own_item(part, place)) is not None:
                said = None
                self.items.extend(item)
            elif (written := output_part(part, self._asked, place)) is not None:
                own = written.pop(ITEM, None)
                if said is None or own is not None:
                    said = {**about, "content": [], **(own or {})}
                    self.items.append(said)
                said["content"].append(written)
        for made in self.items[begun:]:
            if made.get("type") == "message" and isinstance(made.get("content"), list):
                made["content"] = _plain(made["content"], "output_text")

    def _own_item(self, part: chat_pb2.ContentPart, path: str) -> list[Json] | None:
        """The item that a part stands for by itself, empty where it is left out; None where it is one of a message."""
        kind = part.WhichOneof("part")
        if kind == "reasoning":
            return self._thinking(part, path)
        if kind not in (None, "image") or not part.extra_json:
            return None
        if not is_told_in(DIALECT, part.extra_json, path, own=self._asked.own):
            return None
        extra = self._asked.lay_over({}, part, path)
        if kind is None:
            return [extra] if "type" in extra and extra["type"] not in _CONTENT else None
        if extra.get("type") == "image_generation_call":
            return [{"status": "completed", "result": b64encode(part.image.data).decode(), **extra}]
        return None

    def _thinking(self, part: chat_pb2.ContentPart, path: str) -> list[Json]:
        """Thinking that another issued means nothing to OpenAI, nor does such as is neither proven nor told in full."""
        thinking = part.reasoning
        told = self._asked.own and "content" in json_object(part.extra_json, f"{path}.extra_json")
        if thinking.issuer not in ("", DIALECT) or not (thinking.redacted or told):
            self._asked.unsaid.leave_out(path)
            return []
        said: Json = {"type": "reasoning", "summary": []}
        if thinking.text:
            said["summary"].append({"type": "summary_text", "text": thinking.text})
        said |= proven(thinking.redacted)
        return [self._asked.lay_over(said, part, path)]

    def _call(self, call: chat_pb2.ToolCall, path: str) -> None:
        if call.signature:
            self._asked.unsaid.leave_out(f"{path}.signature")
        said: Json = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        chats = {} if self._asked.own or call.type != "custom" else custom_of_chat(call, path)
        if chats:
            self._custom.add(call.id)
            self.items.append({"type": "custom_tool_call", "call_id": call.id, **chats})
            return
        if call.type == "custom" and call.name:
            self._custom.add(call.id)
            said = {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments}
        elif call.type not in ("", "function"):
            if not self._asked.own:
                self._asked.refuse_foreign(path)
                return
            said = {"type": call.type, "call_id": call.id}
        self.items.append(self._asked.lay_over(said, call, path))


def custom_of_chat(message: chat_pb2.ToolCall | chat_pb2.ToolDefinition, path: str) -> Json:
    """A tool of the client's own, or a call of one, as chat completions have it: an object of its own, here flat."""
    custom = json_object(message.extra_json, f"{path}.extra_json").get("custom")
    if not isinstance(custom, dict):
        return {}
    match custom.get("format"):
        case {"grammar": dict() as grammar, **others}:
            return {**custom, "format": {**others, **grammar}}
    return custom


def _plain(parts: list[Json], kind: str) -> str | list[Json]:
    """Text alone as a string, everything else part by part."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == kind:
        text: str = parts[0]["text"]
        return text
    return parts
