"""The blocks of a streamed answer, one after the other, however their pieces arrive.

Anthropic closes a block before it opens the next. Other dialects may mix: calls of tools arrive side by side, and text
between them. So blocks stand in a queue in the order in which they began. The first is open, and its pieces pass at
once; those of the others wait for their turn, which comes when the blocks before them are whole. A text is whole when
anything else has begun, a call when its arguments are a JSON object or the answer ends.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from gateway_http.json_output import decode_json, encode_json

Json = dict[str, Any]


class Block:
    """One block. `begin` is how it looks when it begins; `key` tells it from its neighbours."""

    def __init__(self, begin: Json, key: object) -> None:
        self.begin, self.key = begin, key
        self.pieces: list[Json] = []
        """Deltas that have not been written yet."""

    def whole(self) -> bool:
        """Whether nothing more can come, where something else has begun."""
        return True


class CallBlock(Block):
    """A tool's call, with the text of its arguments. `number` is which of the answer's calls it is."""

    def __init__(self, begin: Json, number: int) -> None:
        super().__init__(begin, None)
        self.number = number
        self._arguments: list[str] = []
        self._blank = True
        self._is_whole: bool | None = False
        """None: not known since the last piece."""

    def add(self, text: str) -> None:
        """Adds to the arguments. White space before them is left out: some readers take a text of nothing else ill."""
        if self._blank:
            text = text.lstrip()
        if text:
            self._blank, self._is_whole = False, None
            self._arguments.append(text)
            self.pieces.append({"type": "input_json_delta", "partial_json": text})

    def whole(self) -> bool:
        if self._is_whole is None:
            self._is_whole = self._arguments[-1].rstrip().endswith("}") and _is_object("".join(self._arguments))
        return self._is_whole


class Blocks:
    """The queue. What has to be written now is added to `events`, a list of bytes."""

    def __init__(self) -> None:
        self.index = -1
        """Of the block that is open, or was last."""
        self._queue: deque[Block] = deque()
        self._open = False
        self._calls: dict[int, CallBlock] = {}
        self._over: set[int] = set()

    @property
    def speaking(self) -> object:
        """The key of the open block, where there is one and nothing waits behind it."""
        return self._queue[0].key if len(self._queue) == 1 else None

    def add(self, key: object, begin: Json, pieces: list[Json], events: list[bytes]) -> bool:
        """Adds pieces to the newest block where that has this key, and else begins one. Whether it began one."""
        begins = not self._queue or self._queue[-1].key != key
        if begins:
            self._queue.append(Block(begin, key))
        self._queue[-1].pieces += pieces
        self.flush(events)
        return begins

    def add_to_newest(self, piece: Json, events: list[bytes]) -> bool:
        """Adds a piece to the newest block, where there is one."""
        if not self._queue:
            return False
        self._queue[-1].pieces.append(piece)
        self.flush(events)
        return True

    def seal(self) -> None:
        """Nothing more belongs to the newest block, whatever its key."""
        self._queue[-1].key = None

    def add_whole(self, begin: Json, events: list[bytes]) -> None:
        """Adds a block that comes whole."""
        self._queue.append(Block(begin, None))
        self.flush(events)

    def call(self, index: int) -> CallBlock | None:
        """The call of that index, where it has begun and is not written to its end."""
        return self._calls.get(index)

    def has_written(self, index: int) -> bool:
        """Whether the call of that index is over."""
        return index in self._over

    def begin_call(self, index: int, begin: Json) -> CallBlock:
        block = CallBlock(begin, index)
        self._calls[index] = block
        self._queue.append(block)
        return block

    def flush(self, events: list[bytes]) -> None:
        """Writes what is here of the open block, and of all that have their turn."""
        while self._queue:
            head = self._queue[0]
            self._write(head, events)
            if len(self._queue) == 1 or not head.whole():
                return
            self._end(events)

    def close(self, events: list[bytes]) -> None:
        """The answer has ended: writes all that waits, whole or not."""
        while self._queue:
            self._write(self._queue[0], events)
            self._end(events)

    def _write(self, block: Block, events: list[bytes]) -> None:
        if not self._open:
            self._open = True
            self.index += 1
            events.append(event("content_block_start", {"index": self.index, "content_block": block.begin}))
        events += [event("content_block_delta", {"index": self.index, "delta": piece}) for piece in block.pieces]
        block.pieces.clear()

    def _end(self, events: list[bytes]) -> None:
        block = self._queue.popleft()
        if isinstance(block, CallBlock):
            del self._calls[block.number]
            self._over.add(block.number)
        self._open = False
        events.append(event("content_block_stop", {"index": self.index}))


def event(kind: str, fields: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode_json({"type": kind, **fields}))


def _is_object(text: str) -> bool:
    try:
        return type(decode_json(text)) is dict
    except ValueError:
        return False
