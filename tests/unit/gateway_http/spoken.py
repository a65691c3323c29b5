"""Answers of any kind, cut into deltas anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import strategies as st

from tollway.chat.v1 import chat_pb2 as pb

_TEXTS = st.text('ab \n\u2028é😀"\\{}', min_size=1, max_size=6)


class Spoken(NamedTuple):
    """What is said: trains of thought with their proofs, texts and refusals in order, then calls."""

    thoughts: list[tuple[str, str]]
    said: list[tuple[str, str]]
    calls: list[tuple[str, str, str]]

    @property
    def thinking(self) -> str:
        return "".join(text for text, _ in self.thoughts)

    @property
    def proofs(self) -> list[str]:
        return [proof for _, proof in self.thoughts if proof]

    @property
    def text(self) -> str:
        return "".join(text for kind, text in self.said if kind == "text")

    @property
    def refusal(self) -> str:
        return "".join(text for kind, text in self.said if kind == "refusal")


def answers() -> st.SearchStrategy[Spoken]:
    arguments = st.lists(_TEXTS, max_size=3).map(
        lambda pieces: [(f"call_{i}", f"f{i}", piece) for i, piece in enumerate(pieces)]
    )
    return st.builds(
        Spoken,
        st.lists(st.tuples(_TEXTS, st.sampled_from(["", "c2ln"])), max_size=3),
        st.lists(st.tuples(st.sampled_from(["text", "refusal"]), _TEXTS), max_size=4),
        arguments,
    )


def cut(spoken: Spoken, data: st.DataObject) -> list[pb.ChatChunk]:
    """The answer as a stream: what is said cut at any place, calls mixed in any way, deltas in chunks of any size."""
    return _chunked(_deltas(spoken, data), data)


def mixed(choices: list[Spoken], data: st.DataObject) -> list[pb.ChatChunk]:
    """Several choices as one stream: each begins after the one before it; from then on, they come in any order."""
    waiting = [_deltas(spoken, data) for spoken in choices]
    deltas: list[pb.Delta] = []
    for index, queue in enumerate(waiting):
        for delta in queue:
            delta.index = index
        deltas += (queue.pop(0), queue.pop(0))
    while any(waiting):
        deltas.append(data.draw(st.sampled_from([queue for queue in waiting if queue])).pop(0))
    return _chunked(deltas, data)


def _deltas(spoken: Spoken, data: st.DataObject) -> list[pb.Delta]:
    deltas = [pb.Delta(role=pb.ROLE_ASSISTANT), *_thoughts(spoken, data), *_said(spoken, data), *_calls(spoken, data)]
    reason = pb.FINISH_REASON_TOOL_CALLS if spoken.calls else pb.FINISH_REASON_STOP
    return [*deltas, pb.Delta(finish_reason=reason)]


def _chunked(deltas: list[pb.Delta], data: st.DataObject) -> list[pb.ChatChunk]:
    chunks = [pb.ChatChunk(id="chatcmpl-1", model="gpt-4o")]
    for delta in deltas:
        if data.draw(st.booleans()):
            chunks.append(pb.ChatChunk())
        chunks[-1].deltas.append(delta)
    return [*chunks, pb.ChatChunk(usage=pb.Usage(input_tokens=9, output_tokens=3))]


def _thoughts(spoken: Spoken, data: st.DataObject) -> Iterator[pb.Delta]:
    for part, (text, proof) in enumerate(spoken.thoughts):
        for piece in _pieces(text, data):
            yield pb.Delta(part=part, reasoning=pb.ReasoningPart(text=piece))
        if proof:
            yield pb.Delta(part=part, reasoning=pb.ReasoningPart(signature=proof, issuer="anthropic"))


def _said(spoken: Spoken, data: st.DataObject) -> Iterator[pb.Delta]:
    for kind, text in spoken.said:
        for piece in _pieces(text, data):
            yield pb.Delta(text=piece) if kind == "text" else pb.Delta(refusal=piece)


def _calls(spoken: Spoken, data: st.DataObject) -> Iterator[pb.Delta]:
    """Each begins after the one before it; from then on, their pieces come in any order."""
    waiting: list[tuple[int, str]] = []
    for index, (identifier, name, arguments) in enumerate(spoken.calls):
        yield pb.Delta(tool_calls=[pb.ToolCallDelta(index=index, id=identifier, type="function", name=name)])
        waiting += [(index, piece) for piece in _pieces(arguments, data)]
        for _ in range(data.draw(st.integers(0, len(waiting)))):
            yield _next(waiting, data)
    while waiting:
        yield _next(waiting, data)


def _next(waiting: list[tuple[int, str]], data: st.DataObject) -> pb.Delta:
    """The next piece of any of the calls."""
    index = data.draw(st.sampled_from(sorted({place for place, _ in waiting})))
    piece = next(entry for entry in waiting if entry[0] == index)
    waiting.remove(piece)
    return pb.Delta(tool_calls=[pb.ToolCallDelta(index=index, arguments=piece[1])])


def _pieces(text: str, data: st.DataObject) -> list[str]:
    at = data.draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]
