"""What an event adds to one choice, from `tollway.chat.v1` to OpenAI's JSON, where it is more than a piece of text.

Clients join the entries of a list by their `index`, which counts from 0 in each choice.
"""

from __future__ import annotations

from typing import Any

from gateway_http.foreign import put_extra
from gateway_http.json_output import decode_json, encode_json, put_back
from gateway_http.openai_chat.annotations import Sources
from gateway_http.openai_chat.foreign_parts import foreign_part
from gateway_http.openai_chat.reasoning import OWN, Details, told_in_details
from gateway_http.openai_chat.response import audio_json, file_json, image_json, thought_json
from tollway.chat.v1 import chat_pb2 as pb


class Shown:
    """What a choice has shown so far, and what its text is taken from."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._ended = False
        self._details = Details()
        self._counts: dict[str, int] = {}
        """How many entries of each list there have been."""
        self._custom: set[int] = set()
        """Which calls are of the client's own tools, whose input is plain text."""

    def delta_json(self, delta: pb.Delta, fields: set[str], dialect: str) -> dict[str, Any]:
        """`fields` are the names of those that are set in the delta."""
        result: dict[str, Any] = {}
        if "text" in fields:
            result["content"] = delta.text
            self._sources.hear(delta.part, delta.text)
        if "refusal" in fields:
            result["refusal"] = delta.refusal
        if "reasoning" in fields and told_in_details(delta.extra_json, dialect):
            if delta.reasoning.text:
                result["reasoning_content"] = delta.reasoning.text
        elif "reasoning" in fields:
            self._think(result, delta.part, delta.reasoning)
        for part in delta.parts:
            self._add_part(result, part, delta.part, dialect)
        if "citations" in fields:
            self._add_each(result, self._sources.told(delta.citations, delta.part, dialect))
        self._ended = self._ended or bool(delta.finish_reason)
        if self._ended:
            self._add_each(result, self._sources.rest(dialect))
        if delta.finish_reason:
            self._add(result, "reasoning_details", self._details.rest(), numbered=True)
        if "tool_calls" in fields:
            result["tool_calls"] = [self._tool_call(call, dialect) for call in delta.tool_calls]
        if delta.extra_json:
            self._add_extra(result, delta.extra_json, dialect)
        return result

    def _add_extra(self, result: dict[str, Any], extra_json: bytes, dialect: str) -> None:
        """What had no place. Lists of entries are numbered on, where their provider did not number them."""
        if dialect not in ("", OWN):
            put_extra(result, extra_json, dialect, OWN)
            return
        extra = decode_json(extra_json)
        for name in [name for name, value in extra.items() if _is_unnumbered(value)]:
            self._add(result, name, extra.pop(name))
        put_back(result, encode_json(extra))

    def _think(self, result: dict[str, Any], place: int, reasoning: pb.ReasoningPart) -> None:
        details = self._details.hear(place, reasoning)
        self._add(result, "reasoning_details", details, numbered=True)
        if reasoning.text or not details:
            result["reasoning_content"] = result.get("reasoning_content", "") + reasoning.text

    def _add_part(self, result: dict[str, Any], part: pb.ContentPart, place: int, dialect: str) -> None:
        """A part that comes whole."""
        kind = part.WhichOneof("part")
        if kind == "text":
            result["content"] = result.get("content", "") + part.text
            self._sources.hear(place, part.text)
            self._add_each(result, self._sources.told(part.citations, place, dialect))
        elif kind == "refusal":
            result["refusal"] = result.get("refusal", "") + part.refusal
        elif kind == "reasoning":
            self._think(result, place, part.reasoning)
        elif kind == "audio":
            result["audio"] = audio_json(part.audio)
        elif kind == "image":
            self._add(result, "images", [image_json(part.image)])
        elif kind == "file":
            self._add(result, "files", [file_json(part.file)])
        if part.extra_json:
            own = dialect in ("", OWN)
            entry = decode_json(part.extra_json) if own else foreign_part(place, part, dialect)
            self._add(result, "content_parts", [entry])

    def _add_each(self, result: dict[str, Any], lists: dict[str, list[Any]]) -> None:
        for name, entries in lists.items():
            self._add(result, name, entries)

    def _add(self, result: dict[str, Any], name: str, entries: list[dict[str, Any]], *, numbered: bool = False) -> None:
        if not entries:
            return
        begin = self._counts.get(name, 0)
        self._counts[name] = begin + len(entries)
        if not numbered:
            entries = [{"index": place, **entry} for place, entry in enumerate(entries, begin)]
        result.setdefault(name, []).extend(entries)

    def _tool_call(self, call: pb.ToolCallDelta, dialect: str) -> dict[str, Any]:
        result: dict[str, Any] = {"index": call.index}
        if call.id:
            result["id"] = call.id
        if call.type:
            result["type"] = call.type
        if call.type == "custom":
            self._custom.add(call.index)
        kind, said = ("custom", "input") if call.index in self._custom else ("function", "arguments")
        if call.name:
            result[kind] = {"name": call.name, said: call.arguments}
        elif call.arguments or not (call.extra_json or call.signature):
            result[kind] = {said: call.arguments}
        if call.signature:
            result["extra_content"] = thought_json(call.signature)
        put_extra(result, call.extra_json, dialect, OWN)
        return result


def _is_unnumbered(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(entry, dict) and "index" not in entry for entry in value)
