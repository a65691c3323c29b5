"""What a model answered goes back to it as it came, and comes as it went, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.cohere import decode_response, encode_request, stream_decoder
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**31 - 1)


@st.composite
def citations(draw: st.DrawFn) -> chat_pb2.Citation:
    title, text, number = draw(WORDS), draw(WORDS), draw(st.integers(0, 99))
    source = {"type": "document", "id": f"doc:{number}", "document": {"title": title, "text": text}}
    extra = {"text": draw(WORDS), "sources": [source], "type": "TEXT_CONTENT"}
    return chat_pb2.Citation(
        type="document",
        title=title,
        cited_text=text,
        document_index=number,
        answer_start=draw(NUMBERS),
        answer_end=draw(NUMBERS),
        extra_json=json.dumps(extra, ensure_ascii=False, separators=(",", ":")).encode(),
    )


TEXTS = st.builds(chat_pb2.ContentPart, text=WORDS, citations=st.lists(citations(), max_size=2))
THOUGHTS = st.builds(chat_pb2.ContentPart, reasoning=st.builds(chat_pb2.ReasoningPart, text=WORDS))
CALLS = st.builds(
    chat_pb2.ToolCall, id=WORDS, type=st.just("function"), name=WORDS, arguments=WORDS
)  # the arguments' text is never looked into


@st.composite
def messages(draw: st.DrawFn) -> chat_pb2.Message:
    message = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)
    message.tool_calls.extend(draw(st.lists(CALLS, max_size=3)))
    if message.tool_calls:  # what is thought before tools are called is one plan, before all else
        message.content.extend(draw(st.lists(THOUGHTS, max_size=1)))
    message.content.extend(draw(st.lists(TEXTS if message.tool_calls else TEXTS | THOUGHTS, max_size=3)))
    if not message.tool_calls and not message.content:
        message.content.add().text = draw(WORDS)
    return message


def sent(message: chat_pb2.Message) -> dict[str, Any]:
    """The message as it is sent back to the model."""
    unsaid = Unsaid()
    chat = chat_pb2.ChatRequest(messages=[message], dialect="cohere")
    (said,) = json.loads(encode_request(chat, "m", False, unsaid).body)["messages"]
    assert unsaid.dropped == []
    return dict(said)


@given(messages())
def test_an_answer_that_goes_back_is_the_answer_that_came(message: chat_pb2.Message) -> None:
    answer = {"id": "c", "finish_reason": "COMPLETE", "message": sent(message)}
    assert decode_response(json.dumps(answer).encode()).choices[0].message == message


@given(messages(), st.data())
def test_an_answer_is_the_same_streamed(message: chat_pb2.Message, data: st.DataObject) -> None:
    events = events_of(sent(message))
    stream = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    decoder = stream_decoder(1, 1 << 20)
    chunks = [
        chunk
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for chunk in decoder.feed(stream[begin:end])
    ]
    assert decoder.error is None
    assert decoder.complete
    assert decoder.done
    assert decoder.events == len(events)
    planned = "tool_plan" in sent(message)
    assert joined(chunks, planned) == message


def events_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that tell a message."""

    def event(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
        numbered = {} if index is None else {"index": index}
        return {"type": kind, **numbered, "delta": {"message": message}}

    content = said.get("content", [])
    content = [{"type": "text", "text": content}] if isinstance(content, str) else content
    events = [event("message-start", role="assistant")]
    events += [event("tool-plan-delta", tool_plan=piece) for piece in said.get("tool_plan", "")]
    for i, part in enumerate(content):
        kind = part["type"]
        events += [event("content-start", i, content={"type": kind, kind: ""})]
        events += [event("content-delta", i, content={kind: piece}) for piece in part[kind]]
        cited = [each for each in said.get("citations", ()) if each["content_index"] == i]
        events += [event("citation-start", j, citations=each) for j, each in enumerate(cited)]
        events += [{"type": "content-end", "index": i}]
    for i, call in enumerate(said.get("tool_calls", ())):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        head = {"id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        events += [event("tool-call-start", i, tool_calls=head)]
        events += [event("tool-call-delta", i, tool_calls={"function": {"arguments": piece}}) for piece in arguments]
        events += [{"type": "tool-call-end", "index": i}]
    return [*events, {"type": "message-end", "id": "c", "delta": {"finish_reason": "COMPLETE"}}]


def joined(chunks: list[chat_pb2.ChatChunk], planned: bool) -> chat_pb2.Message:
    """The message that a client has in the end who puts every piece where its delta says.

    A plan is thought before the first part, and shares its number.
    """
    parts: dict[tuple[int, bool], chat_pb2.ContentPart] = {}
    calls: dict[int, chat_pb2.ToolCall] = {}
    message = chat_pb2.Message()
    for delta in (delta for chunk in chunks for delta in chunk.deltas):
        message.role = delta.role or message.role
        place = (delta.part, not (planned and delta.HasField("reasoning")))
        if delta.text or delta.citations or delta.HasField("reasoning"):
            part = parts.setdefault(place, chat_pb2.ContentPart())
            if delta.text:
                part.text += delta.text
            part.citations.extend(delta.citations)
            if delta.HasField("reasoning"):
                part.reasoning.text += delta.reasoning.text
        for piece in delta.tool_calls:
            call = calls.setdefault(piece.index, chat_pb2.ToolCall())
            call.id, call.type, call.name = call.id or piece.id, call.type or piece.type, call.name or piece.name
            call.arguments += piece.arguments
    message.content.extend(part for _, part in sorted(parts.items(), key=lambda each: each[0]))
    message.tool_calls.extend(call for _, call in sorted(calls.items()))
    return message
