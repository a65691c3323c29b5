"""What an answer says, the official SDK puts together again, however the answer was cut and mixed on its way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http.anthropic.request import decode
from gateway_http.anthropic.response import encode_answer
from gateway_http.dialect import Identity
from tests.unit.gateway_http.anthropic.reading import put_together, stream
from tollway.chat.v1 import chat_pb2 as pb

TEXT = st.text('ab\n\u2028é😀"\\{}', min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
PROOFS = st.sampled_from([("", ""), ("c2ln", "anthropic"), ("c2ln", "gemini")])


@st.composite
def thoughts(draw: st.DrawFn) -> pb.ContentPart:
    proof, issuer = draw(PROOFS)
    return pb.ContentPart(reasoning=pb.ReasoningPart(text=draw(TEXT), signature=proof, issuer=issuer))


@st.composite
def texts(draw: st.DrawFn) -> pb.ContentPart:
    part = pb.ContentPart(text=draw(TEXT))
    for start in draw(st.lists(st.integers(0, 9), max_size=2)):
        part.citations.add(
            type="char_location", cited_text="c", document_index=0, title="A", source_start=start, source_end=start + 1
        )
    return part


SEALED = st.just(pb.ContentPart(reasoning=pb.ReasoningPart(redacted=b"EmwK", issuer="anthropic")))
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))


@st.composite
def messages(draw: st.DrawFn) -> pb.Message:
    message = pb.Message(
        role=pb.ROLE_ASSISTANT, content=draw(st.lists(st.one_of(thoughts(), texts(), SEALED), max_size=4))
    )
    for index, arguments in enumerate(draw(st.lists(ARGUMENTS, max_size=3))):
        message.tool_calls.add(id=f"toolu_{index}", type="function", name=f"f{index}", arguments=arguments)
    return message


def cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True)]


def said(draw: st.DrawFn, part: pb.ContentPart, number: int) -> list[pb.Delta]:
    """The deltas of one part."""
    if part.WhichOneof("part") == "text":
        deltas = [pb.Delta(text=text, part=number) for text in cut(draw, part.text)]
        deltas += [pb.Delta(citations=[citation], part=number) for citation in part.citations]
        return deltas
    thought = part.reasoning
    deltas = [pb.Delta(reasoning=pb.ReasoningPart(text=text), part=number) for text in cut(draw, thought.text)]
    if thought.signature or thought.redacted:
        proof = pb.ReasoningPart(signature=thought.signature, redacted=thought.redacted, issuer=thought.issuer)
        deltas.append(pb.Delta(reasoning=proof, part=number))
    return deltas


def called(draw: st.DrawFn, message: pb.Message) -> list[pb.Delta]:
    """The deltas of the calls: each begins in its turn, and after that their pieces come in any order."""
    pieces: list[list[pb.ToolCallDelta]] = []
    for index, call in enumerate(message.tool_calls):
        first, *rest = cut(draw, call.arguments)
        begun = pb.ToolCallDelta(index=index, id=call.id, type=call.type, name=call.name, arguments=first)
        pieces.append([begun, *(pb.ToolCallDelta(index=index, arguments=text) for text in rest)])
    deltas, begun_calls = [], 0
    while any(pieces):
        ready = [index for index in range(min(begun_calls, len(pieces))) if pieces[index]]
        may_begin = begun_calls < len(pieces)
        index = draw(st.sampled_from(ready + ([begun_calls] if may_begin else [])))
        begun_calls = max(begun_calls, index + 1)
        deltas.append(pb.Delta(tool_calls=[pieces[index].pop(0)]))
    return deltas


@st.composite
def streams(draw: st.DrawFn) -> tuple[pb.Message, list[pb.ChatChunk]]:
    message = draw(messages())
    deltas = [delta for i, part in enumerate(message.content) for delta in said(draw, part, i)]
    deltas += [*called(draw, message), pb.Delta(finish_reason=pb.FINISH_REASON_STOP)]
    chunks = [pb.ChatChunk(id="msg_1", model="claude", dialect="anthropic")]
    for delta in deltas:
        if draw(st.booleans()):
            chunks.append(pb.ChatChunk())
        chunks[-1].deltas.append(delta)
    return message, chunks


def whole(message: pb.Message) -> Any:
    chat = pb.ChatResponse(id="msg_1", model="claude", dialect="anthropic")
    chat.choices.add(message=message, finish_reason=pb.FINISH_REASON_STOP)
    return json.loads(encode_answer(chat, Identity("req_1", "claude", 0.0)))


@settings(max_examples=60, deadline=None)
@given(streams())
def test_a_stream_says_what_the_whole_answer_says(given: tuple[pb.Message, list[pb.ChatChunk]]) -> None:
    message, chunks = given

    made = put_together(stream(chunks))

    assert made["content"] == whole(message)["content"]
    assert made["stop_reason"] == "end_turn"


@settings(max_examples=60, deadline=None)
@given(messages())
def test_an_answer_that_a_client_sends_back_is_the_message_it_was(message: pb.Message) -> None:
    turn = {"role": "assistant", "content": whole(message)["content"]}

    (read,) = decode({"model": "m", "max_tokens": 1, "messages": [turn]}, max_messages=1).request.chat.messages

    for call in (*read.tool_calls, *message.tool_calls):
        call.arguments = json.dumps(json.loads(call.arguments))
    assert read == message
