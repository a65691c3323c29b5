"""What grows in an answer of OpenAI's Responses, with the events that say so: a message, a train of thought, a call."""

from __future__ import annotations

from typing import Any, Protocol

from gateway_http.foreign import put_extra
from gateway_http.json_output import decode_json, put_back
from gateway_http.openai_responses.events import Events, piece_frame
from gateway_http.openai_responses.items import OWN
from gateway_http.openai_responses.parts import annotation_json, logprobs_json, proof_of, source_json
from tollway.chat.v1 import chat_pb2 as pb

Json = dict[str, Any]


class Items(Protocol):
    """Where items stand."""

    items: list[Json]

    def begin(self, prefix: str, item: Json) -> int: ...

    def end(self, place: int) -> None: ...


class Growing:
    """An item that has begun and not ended."""

    def __init__(self, output: Items, events: Events, prefix: str, item: Json) -> None:
        self._output, self._events = output, events
        self.place = output.begin(prefix, item)
        self.item = output.items[self.place]
        self.at = {"item_id": self.item["id"], "output_index": self.place}

    def keep(self, status: str) -> None:
        """Puts into the item what it has come to."""
        self.item["status"] = status

    def close(self, status: str) -> None:
        self.keep(status)
        self._output.end(self.place)


class Whole(Growing):
    """An item that comes whole, and says itself what it has come to."""

    def keep(self, status: str) -> None:
        pass


class Speech(Growing):
    """A message: texts and refusals."""

    def __init__(self, output: Items, events: Events) -> None:
        message: Json = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        super().__init__(output, events, "msg", message)
        self._number = 0
        self._kind = ""
        """What the open part holds: its field's name. Empty: none is open."""
        self._pieces: list[str] = []
        self._logprobs: list[Json] = []
        self._waiting: list[tuple[pb.Citation, str]] = []
        """Citations, and their dialect, that are about all of the open part, which has not come to its end."""
        self._texts: dict[int, int] = {}
        """Which part of the item holds the text of which part of the answer."""
        self._frame = (b"", b"")

    def says(self, part: int) -> bool:
        return self._kind == "text" and self._number == part

    def say(self, text: str, part: int, logprobs: pb.Logprobs | None = None) -> None:
        if not self.says(part):
            self._begin(part, "text", {"type": "output_text", "text": "", "annotations": [], "logprobs": []})
            self._texts[part] = len(self.item["content"]) - 1
        self._pieces.append(text)
        if logprobs is None or not logprobs.content:
            if text:
                self._events.add_piece(self._frame[0], text, self._frame[1])
            return
        drawn = logprobs_json(logprobs.content)
        self._logprobs += drawn
        self._events.add("response.output_text.delta", {**self._here(), "delta": text, "logprobs": drawn})

    def refuse(self, text: str, part: int, logprobs: pb.Logprobs | None = None) -> None:
        if self._kind != "refusal" or self._number != part:
            self._begin(part, "refusal", {"type": "refusal", "refusal": ""})
        self._pieces.append(text)
        if logprobs is not None:
            self._logprobs += logprobs_json(logprobs.refusal)
        if text:
            self._events.add("response.refusal.delta", {**self._here(), "delta": text})

    def cite(self, citations: list[pb.Citation], part: int, dialect: str) -> None:
        """Of a text of the item's, be it open, new, or one that others have followed."""
        if part not in self._texts:
            self.say("", part)
        place = self._texts[part]
        said = self.item["content"][place]
        for citation in citations:
            if not citation.url:
                said.setdefault("citations", []).append(source_json(citation, dialect))
            elif self.says(part) and not citation.HasField("answer_end"):
                self._waiting.append((citation, dialect))
            else:
                self._annotate(place, annotation_json(citation, len(said["text"]), dialect))

    def has_said(self, part: int) -> bool:
        return part in self._texts

    def beside(self, name: str, value: Json) -> None:
        """What stands beside the words of the open part."""
        self._part()[name] = value

    def lay_under(self, extra_json: bytes) -> None:
        put_back(self._part(), extra_json)

    def keep(self, status: str) -> None:
        if self._kind:
            self._part()[self._kind] = "".join(self._pieces)
            if self._logprobs:
                self._part()["logprobs"] = self._logprobs
            if self._waiting:
                self._part()["annotations"] += self._about_all()
        super().keep(status)

    def close(self, status: str) -> None:
        self._end_part()
        super().close(status)

    def _part(self) -> Json:
        part: Json = self.item["content"][-1]
        return part

    def _here(self) -> Json:
        return {**self.at, "content_index": len(self.item["content"]) - 1}

    def _begin(self, number: int, kind: str, part: Json) -> None:
        self._end_part()
        self._number, self._kind = number, kind
        self.item["content"].append(part)
        here = self._here()
        self._events.add("response.content_part.added", {**here, "part": part})
        self._frame = piece_frame("response.output_text.delta", here, {"logprobs": []})

    def _annotate(self, place: int, annotation: Json) -> None:
        annotations = self.item["content"][place]["annotations"]
        annotations.append(annotation)
        told = {"content_index": place, "annotation_index": len(annotations) - 1, "annotation": annotation}
        self._events.add("response.output_text.annotation.added", {**self.at, **told})

    def _about_all(self) -> list[Json]:
        """The annotations that waited for the open part's end."""
        end = sum(map(len, self._pieces))
        annotations = [annotation_json(citation, end, dialect) for citation, dialect in self._waiting]
        self._waiting = []
        return annotations

    def _end_part(self) -> None:
        if not self._kind:
            return
        here, text = self._here(), "".join(self._pieces)
        for annotation in self._about_all():
            self._annotate(here["content_index"], annotation)
        self._part()[self._kind] = text
        if self._kind == "text":
            self._part()["logprobs"] = self._logprobs
            self._events.add("response.output_text.done", {**here, "text": text, "logprobs": self._logprobs})
        else:
            if self._logprobs:  # OpenAI shows none of refusals
                self._part()["logprobs"] = self._logprobs
            self._events.add("response.refusal.done", {**here, "refusal": text})
        self._events.add("response.content_part.done", {**here, "part": self._part()})
        self._kind, self._pieces, self._logprobs = "", [], []


class Thought(Growing):
    """A train of thought, as a summary; and what proves it."""

    def __init__(self, output: Items, events: Events, part: int) -> None:
        super().__init__(output, events, "rs", {"type": "reasoning", "summary": []})
        self._number = part
        self._pieces: list[str] = []
        self._proof = ""
        self._summary: list[Json] | None = None

    def takes(self, reasoning: pb.ReasoningPart, part: int) -> bool:
        """Whether this belongs to it: to the same part, and nothing follows a proof."""
        return self._number == part and not self._proof

    def think(self, reasoning: pb.ReasoningPart) -> None:
        if reasoning.text:
            self._think(reasoning.text)
        if proof := proof_of(reasoning):
            self._proof = self.item["encrypted_content"] = proof

    def _think(self, text: str) -> None:
        here = {**self.at, "summary_index": 0}
        if not self._pieces:
            self.item["summary"].append({"type": "summary_text", "text": ""})
            self._events.add("response.reasoning_summary_part.added", {**here, "part": self.item["summary"][0]})
        self._pieces.append(text)
        self._events.add("response.reasoning_summary_text.delta", {**here, "delta": text})

    def put_extra(self, extra_json: bytes, dialect: str) -> None:
        """Of its own dialect it may have a summary in several parts."""
        extra = decode_json(extra_json) if dialect == OWN else {}
        self._summary = extra.get("summary")
        put_extra(self.item, extra_json, dialect, OWN)

    def keep(self, status: str) -> None:
        if self._pieces:
            self.item["summary"][0]["text"] = "".join(self._pieces)
        if self._summary is not None:
            self.item["summary"] = self._summary
        super().keep(status)

    def close(self, status: str) -> None:
        self.keep(status)
        if self._pieces and self._summary is None:
            here, part = {**self.at, "summary_index": 0}, self.item["summary"][0]
            self._events.add("response.reasoning_summary_text.done", {**here, "text": part["text"]})
            self._events.add("response.reasoning_summary_part.done", {**here, "part": part})
        self._output.end(self.place)


class Call(Growing):
    """A call of a function, or of a tool of the client's own, whose input is plain text."""

    def __init__(self, output: Items, events: Events, piece: pb.ToolCallDelta | pb.ToolCall) -> None:
        self._custom = piece.type == "custom"
        kind, prefix = ("custom_tool_call", "ctc") if self._custom else ("function_call", "fc")
        self._field = "input" if self._custom else "arguments"
        call: Json = {"type": kind, "call_id": piece.id, "name": piece.name, self._field: ""}
        if not self._custom:
            call["status"] = "in_progress"
        super().__init__(output, events, prefix, call)
        self._pieces: list[str] = []

    def grow(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._events.add(f"response.{self._event}.delta", {**self.at, "delta": text})

    def put_extra(self, extra_json: bytes, dialect: str) -> None:
        """In chat completions a call of the client's own tool has its name and input in an object of its own."""
        if not extra_json:
            return
        extra = decode_json(extra_json)
        custom = extra.get("custom")
        if self._custom and dialect in ("", "openai") and isinstance(custom, dict):
            self.item["name"] = self.item["name"] or custom.get("name") or ""
            self.grow(custom.get("input") or "")
        else:
            put_extra(self.item, extra_json, dialect, OWN)

    @property
    def _event(self) -> str:
        return "custom_tool_call_input" if self._custom else "function_call_arguments"

    def keep(self, status: str) -> None:
        self.item[self._field] = "".join(self._pieces)
        if not self._custom:
            super().keep(status)

    def close(self, status: str) -> None:
        self.keep(status)
        told = {self._field: self.item[self._field]}
        if not self._custom:
            told["name"] = self.item["name"]
        self._events.add(f"response.{self._event}.done", {**self.at, **told})
        self._output.end(self.place)
