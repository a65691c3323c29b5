"""The conversation in Cohere's messages, and the documents that are told beside it."""

from __future__ import annotations

from base64 import b64encode

from mesh.errors import invalid
from services.providers.adapters.cohere.citations import citation_json
from services.providers.adapters.cohere.tools import tool_call
from services.providers.domain.json_objects import Json
from services.providers.domain.own_words import OwnWords
from services.providers.domain.tool_failures import failed
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_ROLES = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "system",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
    chat_pb2.ROLE_TOOL: "tool",
}
_TAKES_PICTURES = ("user",)


class Conversation:
    """Takes the messages one by one; `said` is what becomes of them.

    A text document is one of `documents`, wherever in the conversation it stood: Cohere keeps them apart from what is
    said. Those that a tool answered with stay in its answer.
    """

    def __init__(self, words: OwnWords, unsaid: Unsaid) -> None:
        self.said: list[Json] = []
        self.documents: list[Json] = []
        self._words, self._unsaid = words, unsaid

    def add(self, message: chat_pb2.Message, path: str) -> None:
        """Raises INVALID_REQUEST for a role that is none, and UNSUPPORTED_FEATURE for what Cohere cannot be told."""
        role = self._role(message, path)
        if not role:
            return
        said: Json = {"role": role}
        parts = self._parts(message, role, said, path)
        if message.tool_failed:
            parts = failed(parts, "text")
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            said["content"] = parts[0]["text"]
        elif parts:
            said["content"] = parts
        calls = [self._call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]
        if calls := [call for call in calls if call]:
            said["tool_calls"] = calls
        if role == "tool":
            said = {"role": role, "tool_call_id": message.tool_call_id, "content": said.get("content", "")}
        self._words.lay_over(said, message.extra_json, path)
        if said.keys() > {"role"}:
            self.said.append(said)

    def _role(self, message: chat_pb2.Message, path: str) -> str:
        role = _ROLES.get(message.role, "")
        if message.role == chat_pb2.ROLE_FUNCTION:
            self._unsaid.refuse(f"{path}.role", "function is a role that Cohere's API does not have")
        elif not role:
            raise invalid(f"{path}.role", "is missing")
        if message.name:
            self._unsaid.leave_out(f"{path}.name")
        return role

    def _call(self, call: chat_pb2.ToolCall, path: str) -> Json:
        return tool_call(call, path, self._words, self._unsaid)

    def _parts(self, message: chat_pb2.Message, role: str, said: Json, path: str) -> list[Json]:
        parts: list[Json] = []
        for i, part in enumerate(message.content):
            place = f"{path}.content[{i}]"
            if part.HasField("cache_control"):
                self._unsaid.leave_out(f"{place}.cache_control")
            if part.citations:
                self._cite(part, len(parts), role, said, place)
            if part.WhichOneof("part") == "reasoning" and message.tool_calls:
                self._plan(part.reasoning, said, place)
            elif (piece := self._part(part, role, place)) is not None and (
                said_of_it := self._words.lay_over(piece, part.extra_json, place)
            ):
                parts.append(said_of_it)
        return parts

    def _part(self, part: chat_pb2.ContentPart, role: str, path: str) -> Json | None:
        kind = part.WhichOneof("part")
        if kind in ("text", "refusal"):
            text = part.text or part.refusal
            return {"type": "text", "text": text} if text else None
        if kind == "reasoning":
            return {"type": "thinking", "thinking": part.reasoning.text} if self._ours(part.reasoning, path) else None
        if kind == "image":
            return self._image(part.image, role, path)
        if kind == "file":
            return self._file(part.file, role, path)
        if kind == "audio":
            self._unsaid.refuse(f"{path}.audio", "cannot be told to Cohere, which hears nothing")
            return None
        if not part.extra_json:
            raise invalid(path, "is empty")
        return {}  # only its extra fields describe it

    def _ours(self, thought: chat_pb2.ReasoningPart, path: str) -> bool:
        """Whether it is thinking that Cohere can have had: it signs none, and encrypts none."""
        if thought.signature or thought.redacted or thought.issuer not in ("", "cohere"):
            self._unsaid.leave_out(path)
            return False
        return thought.text != ""

    def _plan(self, thought: chat_pb2.ReasoningPart, said: Json, path: str) -> None:
        """What was thought before tools were called is their plan."""
        if self._ours(thought, path):
            said["tool_plan"] = said.get("tool_plan", "") + thought.text

    def _image(self, image: chat_pb2.ImagePart, role: str, path: str) -> Json | None:
        source = image.WhichOneof("source")
        if role not in _TAKES_PICTURES:
            self._unsaid.refuse(f"{path}.image", f"cannot be told to Cohere with the role {role}")
            return None
        if source == "file_id":
            self._unsaid.refuse(f"{path}.image.file_id", "cannot be told to Cohere, which takes pictures by URL")
            return None
        if source is None:
            raise invalid(f"{path}.image", "has neither url nor data")
        url = image.url or f"data:{image.media_type or 'image/png'};base64,{b64encode(image.data).decode()}"
        detail = {"detail": image.detail} if image.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}

    def _file(self, file: chat_pb2.FilePart, role: str, path: str) -> Json | None:
        text = _text_of(file)
        if text is None:
            self._unsaid.refuse(f"{path}.file", "cannot be told to Cohere, which takes documents as text")
            return None
        document: Json = {"data": {"title": file.filename, "text": text} if file.filename else {"text": text}}
        if role == "tool":
            return {"type": "document", "document": document}
        self.documents.append({"id": f"doc:{len(self.documents)}", **document})
        return None

    def _cite(self, part: chat_pb2.ContentPart, place: int, role: str, said: Json, path: str) -> None:
        """Citations of an earlier answer: Cohere's own stand beside its parts, others' have no place."""
        if role != "assistant" or not self._words.sayable:
            self._unsaid.leave_out(f"{path}.citations")
            return
        cited = [citation_json(each, place, f"{path}.citations[{i}]") for i, each in enumerate(part.citations)]
        said.setdefault("citations", []).extend(cited)


def _text_of(file: chat_pb2.FilePart) -> str | None:
    """The text of a document that is nothing but text; None of any other."""
    plain = file.media_type.startswith("text/") or file.media_type in ("application/json", "application/xml")
    if file.WhichOneof("source") != "data" or not plain:
        return None
    try:
        return file.data.decode()
    except UnicodeDecodeError:
        return None
