"""What is said in `tollway.chat.v1` comes back from OpenAI's JSON as it was: the edge reads what the adapter writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http import openai_chat
from gateway_http.dialect import Identity
from gateway_http.json_input import read_object
from gateway_http.openai_chat.response import encode_completion
from gateway_http.openai_chat.stream import ChunkEncoder
from services.providers.adapters.openai import decode_response, dialect, stream_decoder
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from tests.providers.test_fixtures import joined
from tests.unit.services.providers.adapters import said
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

Draw = Callable[..., Any]

WHO = Identity("req_1", "m", 0.0)
SERVER = dialect(Quirks(cache_control=True, reasoning_details=True))


@st.composite
def asked_parts(draw: Draw) -> pb.ContentPart:
    part: pb.ContentPart = draw(said.asked_parts(details=["", "low"]) | sounds)
    if draw(st.booleans()):
        part.cache_control.lifetime = draw(st.sampled_from(["", "1h"]))
    part.extra_json = draw(st.sampled_from([b"", b'{"new":123456789012345678901234567890}']))
    return part


sounds = st.builds(
    lambda data: pb.ContentPart(audio=pb.AudioPart(data=data, format="wav")), st.binary(min_size=1, max_size=4)
)


@st.composite
def answered(draw: Draw) -> pb.Message:
    """What a server with proofs of thinking may have said earlier."""
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    for _ in range(draw(st.integers(0, 2))):
        thinking = message.content.add().reasoning
        if draw(st.booleans()):
            thinking.text, thinking.signature = draw(said.words), draw(said.some_words)
        else:
            thinking.redacted = draw(said.some_words).encode()
        thinking.issuer = "openai"
    if text := draw(said.words):
        message.content.add(text=text, citations=draw(st.lists(said.citations(), max_size=2)))
    if refusal := draw(said.words):
        message.content.add(refusal=refusal)
    message.tool_calls.extend(draw(said.calls()))
    for call in message.tool_calls:
        call.signature = draw(said.words)
    return message


@st.composite
def questions(draw: Draw) -> pb.ChatRequest:
    chat: pb.ChatRequest = draw(said.options())
    chat.messages.append(pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")]))
    for turn in draw(st.lists(said.told(parts=asked_parts()) | answered(), max_size=3)):
        chat.messages.append(turn)
        if turn.role == pb.ROLE_USER:
            chat.messages[-1].name = draw(said.words)
        for call in turn.tool_calls:
            chat.messages.add(role=pb.ROLE_TOOL, tool_call_id=call.id).content.add(text=draw(said.words))
    for name, values in (("seed", st.integers(-(2**60), 2**60)), ("frequency_penalty", said.numbers)):
        if draw(st.booleans()):
            setattr(chat.sampling, name, draw(values))
    chat.sampling.stop.extend(draw(st.lists(said.some_words, max_size=2)))
    chat.sampling.logit_bias.update(draw(st.dictionaries(st.sampled_from("123"), said.numbers)))
    chat.extra_json = draw(st.sampled_from([b"", b'{"new":{"deep":[1.5,123456789012345678901234567890]}}']))
    return chat


@settings(deadline=None)
@given(questions(), st.booleans())
def test_a_question_loses_nothing_on_its_way_to_a_server(chat: pb.ChatRequest, stream: bool) -> None:
    unsaid = Unsaid()
    body = SERVER.encode_request(chat, "m", stream, unsaid).body
    read = openai_chat.decode(read_object(body), max_messages=100).request.chat
    if not chat.sampling.ByteSize():
        chat.ClearField("sampling")
    assert unsaid.dropped == []
    assert as_read(read) == as_read(chat)


def as_read(chat: pb.ChatRequest) -> pb.ChatRequest:
    """Messages that say nothing say it in more than one way."""
    copy = pb.ChatRequest()
    copy.CopyFrom(chat)
    for message in copy.messages:
        if message.role == pb.ROLE_TOOL and not message.content:
            message.content.add(text="")
    return copy


@st.composite
def answers(draw: Draw) -> pb.ChatResponse:
    chat = pb.ChatResponse(
        id=draw(said.some_words),
        model=draw(said.some_words),
        service_tier=draw(st.sampled_from(["", "flex"])),
        system_fingerprint=draw(said.words),
        extra_json=draw(st.sampled_from([b"", b'{"new":123456789012345678901234567890}'])),
    )
    chat.create_time.seconds = draw(st.integers(1, 2**33))
    for index in range(draw(st.integers(1, 3))):
        message: pb.Message = draw(answered())
        if draw(st.booleans()):
            message.content.add().image.url = draw(said.urls)
        message.content.sort(key=lambda part: KINDS.index(part.WhichOneof("part") or ""))
        choice = chat.choices.add(index=index, message=message, finish_reason=draw(endings))
        if draw(st.booleans()):
            choice.logprobs.CopyFrom(draw(said.logprobs()))
    if draw(st.booleans()):
        chat.usage.CopyFrom(draw(usages))
        chat.usage.service_tier = chat.service_tier
    return chat


KINDS = ("reasoning", "text", "image", "refusal")
endings = st.sampled_from(
    [pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_TOOL_CALLS, pb.FINISH_REASON_CONTENT_FILTER]
)
tokens = st.integers(0, 2**40)
usages = st.builds(
    pb.Usage,
    input_tokens=tokens,
    output_tokens=st.integers(1, 2**40),
    cached_input_tokens=tokens,
    cache_write_tokens=tokens,
    input_audio_tokens=tokens,
    output_audio_tokens=tokens,
    input_image_tokens=tokens,
    output_image_tokens=tokens,
    accepted_prediction_tokens=tokens,
    rejected_prediction_tokens=tokens,
)


@settings(deadline=None)
@given(answers())
def test_an_answer_loses_nothing_on_its_way_through_the_dialect(chat: pb.ChatResponse) -> None:
    assert decode_response(encode_completion(chat, WHO)) == chat


@settings(deadline=None)
@given(st.data())
def test_a_streamed_answer_is_the_same_however_it_is_cut(data: st.DataObject) -> None:
    chunks = data.draw(streams())
    writer = ChunkEncoder(WHO, include_usage=True)
    written = b"".join(map(writer.encode, chunks)) + writer.finish(Receipt(), "")
    decoder = stream_decoder(2, 1 << 20)
    read: list[pb.ChatChunk] = []
    place = 0
    while place < len(written):
        size = data.draw(st.integers(1, 300))
        read += decoder.feed(written[place : place + size])
        place += size
    assert (decoder.done, decoder.error, decoder.complete) == (True, None, True)
    assert joined(read)["choices"] == joined(chunks)["choices"]


@st.composite
def streams(draw: Draw) -> list[pb.ChatChunk]:
    """Two choices, their pieces mixed."""
    sides = [draw(pieces(index)) for index in range(2)]
    chunks = [pb.ChatChunk(id="c", model="m")]
    while any(sides):
        side = draw(st.sampled_from([side for side in sides if side]))
        chunks.append(pb.ChatChunk(deltas=[side.pop(0)]))
    return chunks


@st.composite
def pieces(draw: Draw, index: int) -> list[pb.Delta]:
    deltas = [pb.Delta(index=index, role=pb.ROLE_ASSISTANT)]
    thoughts = said.cut(draw, draw(said.words))
    deltas += [pb.Delta(index=index, reasoning=pb.ReasoningPart(text=text)) for text in thoughts]
    deltas += [pb.Delta(index=index, text=text) for text in said.cut(draw, draw(said.words))]
    for place, call in enumerate(draw(said.calls())):
        begun = pb.ToolCallDelta(index=place, id=call.id, type="function", name=call.name, signature=draw(said.words))
        goes_on = [pb.ToolCallDelta(index=place, arguments=text) for text in said.cut(draw, call.arguments)]
        deltas += [pb.Delta(index=index, tool_calls=[piece]) for piece in (begun, *goes_on)]
    deltas.append(pb.Delta(index=index, finish_reason=draw(endings)))
    return deltas
