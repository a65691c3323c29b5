"""What is said in `tollway.chat.v1` comes back from the Responses as it was: the edge reads what the adapter writes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http import openai_responses
from gateway_http.dialect import Identity
from gateway_http.json_input import read_object
from gateway_http.openai_responses.response import encode_response
from gateway_http.openai_responses.stream import EventEncoder
from services.providers.adapters.openai_responses import decode_response, encode_request, stream_decoder
from services.providers.domain.unsaid import Unsaid
from tests.providers.test_fixtures import joined
from tests.unit.services.providers.adapters import said
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

Draw = Callable[..., Any]

WHO = Identity("req_1", "m", 0.0)
OWN = "openai_responses"


@st.composite
def answered(draw: Draw) -> pb.Message:
    """What the model may have done in one turn."""
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    for _ in range(draw(st.integers(0, 2))):
        redacted = draw(said.some_words.filter(lambda text: ":" not in text)).encode()
        message.content.add().reasoning.CopyFrom(pb.ReasoningPart(text=draw(said.words), redacted=redacted, issuer=OWN))
    for text in draw(st.lists(said.some_words, max_size=2)):
        message.content.add(text=text, citations=draw(st.lists(said.citations(), max_size=2)))
    if refusal := draw(said.words):
        message.content.add(refusal=refusal)
    message.tool_calls.extend(draw(said.calls()))
    for call in message.tool_calls:
        call.type = draw(st.sampled_from(["function", "custom"]))
    return message


@st.composite
def turns(draw: Draw) -> list[pb.Message]:
    """The model's turn, its tools' answers, and what it is told then."""
    answer = draw(answered())
    results = [
        pb.Message(role=pb.ROLE_TOOL, tool_call_id=call.id, content=draw(st.lists(parts, min_size=1, max_size=2)))
        for call in answer.tool_calls
    ]
    return [*([answer] if answer.content or answer.tool_calls else []), *results, draw(said.told(parts=parts))]


parts = said.asked_parts(details=["auto", "low"])


@st.composite
def questions(draw: Draw) -> pb.ChatRequest:
    chat: pb.ChatRequest = draw(said.options())
    chat.dialect = OWN
    chat.messages.append(draw(said.told(parts=parts)))
    for turn in draw(st.lists(turns(), max_size=2)):
        chat.messages.extend(turn)
    if draw(st.booleans()):
        chat.sampling.logprobs, chat.sampling.top_logprobs = True, draw(st.integers(1, 5))
    chat.reasoning_summary = draw(st.sampled_from(["", "auto"]))
    chat.extra_json = draw(st.sampled_from([b"", b'{"max_tool_calls":3,"new":123456789012345678901234567890}']))
    return chat


@settings(deadline=None)
@given(questions(), st.booleans())
def test_a_question_loses_nothing_on_its_way_to_openai(chat: pb.ChatRequest, stream: bool) -> None:
    unsaid = Unsaid()
    body = encode_request(chat, "m", stream, unsaid).body
    read = openai_responses.decode(read_object(body), max_messages=100).request.chat
    if not chat.sampling.ByteSize():
        chat.ClearField("sampling")
    assert unsaid.dropped == []
    assert read == chat


@st.composite
def answers(draw: Draw) -> pb.ChatResponse:
    chat = pb.ChatResponse(
        id=draw(said.some_words),
        model=draw(said.some_words),
        service_tier=draw(st.sampled_from(["", "flex"])),
        extra_json=draw(st.sampled_from([b"", b'{"new":123456789012345678901234567890}'])),
        dialect=OWN,
    )
    chat.create_time.seconds = draw(st.integers(1, 2**33))
    choice = chat.choices.add(message=draw(answered()))
    if draw(st.booleans()):
        choice.message.content.insert(0, pb.ContentPart(extra_json=b'{"id":"ws_1","type":"web_search_call"}'))
    choice.finish_reason = draw(endings(choice.message))
    if draw(st.booleans()) and any(part.text for part in choice.message.content):
        choice.logprobs.CopyFrom(draw(said.logprobs()))
    if draw(st.booleans()):
        chat.usage.CopyFrom(draw(usages))
        chat.usage.service_tier = chat.service_tier
    return chat


def without_id(proof: bytes) -> bytes:
    """The proof as it was before the edge gave its item a name."""
    name, colon, encrypted = proof.partition(b":")
    assert colon
    assert name.startswith(b"rs_req_1_")
    return encrypted


def endings(message: pb.Message) -> st.SearchStrategy[int]:
    """The end of an answer follows from it, unless it was cut short."""
    own = pb.FINISH_REASON_TOOL_CALLS if message.tool_calls else pb.FINISH_REASON_STOP
    return st.sampled_from([own, pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_CONTENT_FILTER])


tokens = st.integers(0, 2**40)
usages = st.builds(
    pb.Usage,
    input_tokens=tokens,
    output_tokens=tokens,
    cached_input_tokens=tokens,
    cache_write_tokens=tokens,
    reasoning_tokens=tokens,
)


@settings(deadline=None)
@given(answers())
def test_an_answer_loses_nothing_on_its_way_through_the_dialect(chat: pb.ChatResponse) -> None:
    read = decode_response(encode_response(chat, WHO, {}))
    for part in read.choices[0].message.content:
        if part.WhichOneof("part"):
            part.extra_json = b""  # whether items were cut short
        if part.reasoning.redacted:
            part.reasoning.redacted = without_id(part.reasoning.redacted)
    for call in read.choices[0].message.tool_calls:
        call.extra_json = b""
    assert read == chat


@settings(deadline=None)
@given(st.data())
def test_a_streamed_answer_is_the_same_however_it_is_cut(data: st.DataObject) -> None:
    chunks = data.draw(streams())
    writer = EventEncoder(WHO, {})
    written = b"".join(map(writer.encode, chunks)) + writer.finish(Receipt(), "")
    decoder = stream_decoder(1, 1 << 20)
    read: list[pb.ChatChunk] = []
    place = 0
    while place < len(written):
        size = data.draw(st.integers(1, 2000))
        read += decoder.feed(written[place : place + size])
        place += size
    assert (decoder.done, decoder.error, decoder.complete) == (True, None, True)
    got, expected = joined(read)["choices"]["0"], joined(chunks)["choices"]["0"]
    got.pop("extra_json", None)
    for proof in got.get("reasoning_proofs", ()):
        proof["redacted"] = b64encode(without_id(b64decode(proof["redacted"]))).decode()
    for call in got.get("tool_calls", {}).values():
        call.pop("extra_json", None)
    assert got == expected


@st.composite
def streams(draw: Draw) -> list[pb.ChatChunk]:
    message: pb.Message = draw(answered())
    deltas = [pb.Delta(role=pb.ROLE_ASSISTANT)]
    for place, part in enumerate(message.content):
        if part.HasField("reasoning"):
            thoughts = [pb.ReasoningPart(text=text) for text in said.cut(draw, part.reasoning.text)]
            proof = pb.ReasoningPart(redacted=part.reasoning.redacted, issuer=OWN)
            deltas += [pb.Delta(part=place, reasoning=each) for each in (*thoughts, proof)]
        elif part.text:
            deltas += [pb.Delta(part=place, text=text) for text in said.cut(draw, part.text)]
            deltas.append(pb.Delta(part=place, citations=part.citations))
        else:
            deltas += [pb.Delta(part=place, refusal=text) for text in said.cut(draw, part.refusal)]
    for place, call in enumerate(message.tool_calls):
        begun = pb.ToolCallDelta(index=place, id=call.id, type=call.type, name=call.name)
        goes_on = [pb.ToolCallDelta(index=place, arguments=text) for text in said.cut(draw, call.arguments)]
        deltas += [pb.Delta(tool_calls=[piece]) for piece in (begun, *goes_on)]
    deltas.append(pb.Delta(finish_reason=draw(endings(message))))
    return [pb.ChatChunk(id="c", model="m"), *(pb.ChatChunk(deltas=[delta]) for delta in deltas)]
