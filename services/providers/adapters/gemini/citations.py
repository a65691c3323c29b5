"""Where an answer's words come from: Gemini's `groundingMetadata` and `citationMetadata`.

Both count in bytes of UTF-8, the one within a part, the other in all of the answer's text. They are looked up in all of
it, and become characters of the part that holds where they begin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


class Said:
    """The text of an answer so far. `limit`: of more bytes than that, no places are found."""

    def __init__(self, limit: int = 64 * 2**20) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: list[bytes] = []

    def add(self, text: str) -> int:
        """Takes the text that comes next, and returns at which byte it begins."""
        begins, piece = self._size, text.encode()
        self._size += len(piece)
        if self._size <= self._limit:
            self._pieces.append(piece)
        return begins

    def place(self, start: int, end: int, text: str | None, into: chat_pb2.Citation) -> bool:
        """Says in characters what was said in bytes. False: there is no such place, or not with this text."""
        whole = b"".join(self._pieces)
        self._pieces = [whole]
        if not 0 <= start <= end <= len(whole) or self._size > self._limit:
            return False
        words = whole[start:end].decode("utf-8", "replace")
        if text is not None and words != text:
            return False
        into.answer_start = len(whole[:start].decode("utf-8", "replace"))
        into.answer_end = into.answer_start + len(words)
        return True


def grounding(candidate: Json, said: Said, begins: dict[int, int]) -> Iterator[chat_pb2.Citation]:
    """One for each source of each segment. `begins`: at which byte of the text each part begins.

    The metadata stays with the candidate: what was searched for, and sources that no segment refers to.
    """
    metadata = candidate.get("groundingMetadata") or {}
    sources = metadata.get("groundingChunks") or []
    for support in metadata.get("groundingSupports") or ():
        for place in support.get("groundingChunkIndices") or ():
            if 0 <= place < len(sources):
                cited = _source(sources[place])
                _locate(support.get("segment") or {}, said, begins, cited)
                yield cited


def _source(chunk: Json) -> chat_pb2.Citation:
    """`{"web": {"uri", "title"}}`, `{"retrievedContext": {…, "text"}}`, `{"maps": …}`: the key says what it is."""
    kind = next(iter(chunk), "")
    about: Json = chunk.get(kind) or {}
    return chat_pb2.Citation(
        type=kind,
        url=about.get("uri") or about.get("sourceUri") or "",
        title=about.get("title") or "",
        cited_text=about.get("text") or "",
    )


def _locate(segment: Json, said: Said, begins: dict[int, int], into: chat_pb2.Citation) -> None:
    base = begins.get(segment.get("partIndex") or 0, 0)
    start, end = segment.get("startIndex") or 0, segment.get("endIndex") or 0
    said.place(base + start, base + end, segment.get("text"), into)


def within(cited: chat_pb2.Citation, begins: Sequence[int], size: int) -> int:
    """Which of an answer's texts the citation is about; its places in all of them become places in that one.

    `begins`: at which character each of them does, `size`: how many there are. One without a place is about the last.
    """
    if not cited.HasField("answer_start"):
        return len(begins) - 1
    place = bisect_right(begins, cited.answer_start) - 1
    end = begins[place + 1] if place + 1 < len(begins) else size
    cited.answer_end = min(cited.answer_end, end) - begins[place]
    cited.answer_start -= begins[place]
    return place


def recited(candidate: Json, said: Said) -> Iterator[chat_pb2.Citation]:
    """Takes `citationMetadata` out of the candidate: sources that the answer repeats word for word."""
    metadata = candidate.pop("citationMetadata", None) or {}
    given = metadata.pop("citations", None) or metadata.pop("citationSources", None) or ()
    if metadata:
        candidate["citationMetadata"] = metadata
    for each in given:
        cited = chat_pb2.Citation(type="citation", url=each.pop("uri", None) or "", title=each.pop("title", None) or "")
        if said.place(each.get("startIndex") or 0, each.get("endIndex") or 0, None, cited):
            each.pop("startIndex", None)
            each.pop("endIndex", None)
        if each:
            cited.extra_json = encode_json(each)
        yield cited
