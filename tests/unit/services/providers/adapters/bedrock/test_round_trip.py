"""What a model answered goes back to it as it came, and comes as it went, whole and streamed."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.bedrock import decode_response, encode_request, stream_decoder
from services.providers.domain.unsaid import Unsaid
from tests.providers.framing import frame
from tollway.chat.v1 import chat_pb2

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
WORDS = st.text(min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**31 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=3),
    max_leaves=6,
)


@st.composite
def citations(draw: st.DrawFn) -> chat_pb2.Citation:
    citation = chat_pb2.Citation(title=draw(WORDS), cited_text=draw(WORDS))
    citation.type = draw(
        st.sampled_from(
            ["char_location", "page_location", "content_block_location", "search_result_location", "url_citation"]
        )
    )
    if citation.type == "url_citation":
        citation.url = draw(WORDS)
    else:
        citation.document_index, citation.source_start, citation.source_end = (
            draw(NUMBERS),
            draw(NUMBERS),
            draw(NUMBERS),
        )
    if draw(st.booleans()):
        citation.extra_json = json.dumps({"source": draw(WORDS)}, ensure_ascii=False, separators=(",", ":")).encode()
    return citation


PARTS = st.one_of(
    st.builds(chat_pb2.ContentPart, text=WORDS),
    st.builds(chat_pb2.ContentPart, text=WORDS, citations=st.lists(citations(), min_size=1, max_size=3)),
    st.builds(
        chat_pb2.ContentPart,
        reasoning=st.builds(chat_pb2.ReasoningPart, text=WORDS, signature=WORDS, issuer=st.just("bedrock")),
    ),
    st.builds(
        chat_pb2.ContentPart,
        reasoning=st.builds(
            chat_pb2.ReasoningPart,
            redacted=st.binary(min_size=1, max_size=9).map(b64encode),
            issuer=st.just("bedrock"),
        ),
    ),
    st.builds(
        chat_pb2.ContentPart,
        image=st.builds(
            chat_pb2.ImagePart,
            data=st.binary(min_size=1, max_size=9),
            media_type=st.sampled_from(["image/png", "image/jpeg"]),
        ),
    ),
)


def arguments(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


CALLS = st.builds(
    chat_pb2.ToolCall,
    id=st.from_regex(r"[a-zA-Z0-9_.:-]{1,64}", fullmatch=True),
    type=st.just("function"),
    name=WORDS,
    arguments=st.dictionaries(WORDS, JSON, max_size=3).map(arguments),
)
MESSAGES = st.builds(
    chat_pb2.Message,
    role=st.just(chat_pb2.ROLE_ASSISTANT),
    content=st.lists(PARTS, max_size=4),
    tool_calls=st.lists(CALLS, max_size=3),
).filter(lambda message: message.content or message.tool_calls)


def blocks_of(message: chat_pb2.Message) -> list[dict[str, Any]]:
    """The message as it is sent back to the model."""
    chat = chat_pb2.ChatRequest(messages=[message], dialect="bedrock")
    unsaid = Unsaid()
    turns = json.loads(encode_request(chat, MODEL, False, unsaid).body)["messages"]
    assert unsaid.dropped == []
    assert [turn["role"] for turn in turns] == ["assistant"]
    blocks: list[dict[str, Any]] = turns[0]["content"]
    return blocks


@given(MESSAGES)
def test_an_answer_that_goes_back_is_the_answer_that_came(message: chat_pb2.Message) -> None:
    answer = {"output": {"message": {"role": "assistant", "content": blocks_of(message)}}, "stopReason": "end_turn"}
    assert decode_response(json.dumps(answer).encode()).choices[0].message == message


@given(MESSAGES, st.data())
def test_an_answer_is_the_same_streamed(message: chat_pb2.Message, data: st.DataObject) -> None:
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for i, block in enumerate(blocks_of(message)):
        events += streamed(block, i)
    events += [("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": {"inputTokens": 1}, "metrics": {}})]
    stream = b"".join(
        frame({":message-type": "event", ":event-type": kind}, json.dumps(payload).encode()) for kind, payload in events
    )
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
    assert joined(chunks) == message


def streamed(block: dict[str, Any], place: int) -> list[tuple[str, dict[str, Any]]]:
    """The events that tell a block."""

    def delta(**said: Any) -> tuple[str, dict[str, Any]]:
        return "contentBlockDelta", {"contentBlockIndex": place, "delta": said, "p": "abc"}

    def start(**said: Any) -> tuple[str, dict[str, Any]]:
        return "contentBlockStart", {"contentBlockIndex": place, "start": said}

    events: list[tuple[str, dict[str, Any]]]
    kind, said = next(iter(block.items()))
    if kind == "text":
        events = [delta(text=said[:1]), delta(text=said[1:])]
    elif kind == "citationsContent":
        events = [delta(text=said["content"][0]["text"]), *(delta(citation=each) for each in said["citations"])]
    elif kind == "image":
        events = [start(image={"format": said["format"]}), delta(image={"source": said["source"]})]
    elif kind == "toolUse":
        text = arguments(said["input"]) if said["input"] else ""
        called = start(toolUse={"toolUseId": said["toolUseId"], "name": said["name"]})
        events = [called, *(delta(toolUse={"input": piece}) for piece in text)]
    elif "redactedContent" in said:
        events = [delta(reasoningContent=said)]
    else:
        thought = said["reasoningText"]
        events = [
            delta(reasoningContent={"text": thought["text"]}),
            delta(reasoningContent={"signature": thought["signature"]}),
        ]
    return [*events, ("contentBlockStop", {"contentBlockIndex": place})]


def joined(chunks: list[chat_pb2.ChatChunk]) -> chat_pb2.Message:
    """The message that a client has in the end who puts every piece where its delta says."""
    parts: dict[int, chat_pb2.ContentPart] = {}
    calls: dict[int, chat_pb2.ToolCall] = {}
    message = chat_pb2.Message()
    for delta in (delta for chunk in chunks for delta in chunk.deltas):
        message.role = delta.role or message.role
        part = parts.setdefault(delta.part, chat_pb2.ContentPart())
        for picture in delta.parts:
            part.CopyFrom(picture)
        if delta.text:
            part.text += delta.text
        part.citations.extend(delta.citations)
        if delta.HasField("reasoning"):
            text = part.reasoning.text + delta.reasoning.text
            part.reasoning.MergeFrom(delta.reasoning)
            part.reasoning.text = text
        for piece in delta.tool_calls:
            call = calls.setdefault(piece.index, chat_pb2.ToolCall())
            call.id, call.type, call.name = call.id or piece.id, call.type or piece.type, call.name or piece.name
            call.arguments += piece.arguments
    message.content.extend(part for _, part in sorted(parts.items()) if part.ByteSize())
    message.tool_calls.extend(call for _, call in sorted(calls.items()))
    return message
