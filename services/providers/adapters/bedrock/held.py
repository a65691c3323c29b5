"""What of a stream is held back until it is whole: pictures, encrypted thinking, tools that Bedrock runs itself."""

from __future__ import annotations

from base64 import b64decode, b64encode

from services.providers.adapters.bedrock.response import DIALECT, keep_image
from services.providers.domain.json_objects import Json, decode_json, encode_json
from tollway.chat.v1 import chat_pb2


class HeldBlock:
    """A block that has no place in deltas before it is whole. `start` is what it began with."""

    def __init__(self, start: Json) -> None:
        self.size = 0
        """How many bytes it has so far, about."""
        self._start = start
        self._deltas: list[Json] = []

    def add(self, delta: Json) -> None:
        """The next piece."""
        self.size += len(encode_json(delta))
        self._deltas.append(delta)

    def put(self, into: chat_pb2.Delta) -> None:
        """The whole block. Raises ValueError and the like for pieces that make none."""
        kinds = {kind for delta in self._deltas for kind in delta}
        if kinds == {"redactedContent"}:
            secret = b"".join(b64decode(delta["redactedContent"]) for delta in self._deltas)
            into.reasoning.redacted, into.reasoning.issuer = b64encode(secret), DIALECT
        elif self._start.keys() == {"image"} and all("bytes" in _source(delta) for delta in self._deltas):
            data = b"".join(b64decode(_source(delta)["bytes"]) for delta in self._deltas)
            keep_image(self._start["image"]["format"], data, into.parts.add())
        else:
            into.parts.add().extra_json = encode_json(self._whole())

    def _whole(self) -> Json:
        """The block as it would stand in an answer that is not streamed."""
        kind = next(iter(self._start), "")
        said: Json = dict(self._start.get(kind) or {})
        for delta in self._deltas:
            for name, piece in delta.items():
                if kind == "toolResult" and name == "toolResult":
                    said["content"] = [*said.get("content", []), *piece]
                elif kind == "toolUse" and name == "toolUse":
                    said["input"] = said.get("input", "") + piece["input"]
                else:
                    said[name] = piece
        if kind == "toolUse":
            said["input"] = decode_json(said.get("input") or "{}")
        return {kind: said} if kind else said


def _source(delta: Json) -> Json:
    source: Json = (delta.get("image") or {}).get("source") or {}
    return source
