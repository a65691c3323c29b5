"""What Gemini can say goes there and back unchanged, whole and as a stream however it is cut."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import TollwayError
from services.providers.adapters import gemini
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]

SIGNATURES = st.binary(min_size=1, max_size=9).map(lambda raw: b64encode(raw).decode())
WORDS = st.text(min_size=1, max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3)


def proof(signature: str, text: str = "") -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(reasoning=chat_pb2.ReasoningPart(text=text, signature=signature, issuer="gemini"))


@st.composite
def content(draw: st.DrawFn) -> list[chat_pb2.ContentPart]:
    """A part, and the signature that may follow it."""
    data = draw(st.binary(max_size=9))
    kind = draw(st.sampled_from(["text", "thought", "image", "audio", "file", "located", "unknown"]))
    if kind == "thought":
        text, signature = draw(WORDS), draw(SIGNATURES | st.just(""))
        return (
            [proof(signature, text)]
            if signature
            else [chat_pb2.ContentPart(reasoning=chat_pb2.ReasoningPart(text=text))]
        )
    if kind == "unknown":
        return [chat_pb2.ContentPart(extra_json=json.dumps({"hologram": draw(VALUES)}).encode())]
    part = {
        "text": lambda: chat_pb2.ContentPart(text=draw(WORDS)),
        "image": lambda: chat_pb2.ContentPart(image=chat_pb2.ImagePart(data=data, media_type="image/png")),
        "audio": lambda: chat_pb2.ContentPart(audio=chat_pb2.AudioPart(data=data, format="wav")),
        "file": lambda: chat_pb2.ContentPart(file=chat_pb2.FilePart(data=data, media_type="application/pdf")),
        "located": lambda: chat_pb2.ContentPart(file=chat_pb2.FilePart(url="https://x.test/f", media_type="video/mp4")),
    }[kind]()
    if draw(st.booleans()):
        part.extra_json = json.dumps({"partMetadata": {"of": draw(WORDS)}}).encode()
    return [part, *([proof(draw(SIGNATURES))] if draw(st.booleans()) else [])]


@st.composite
def answers(draw: st.DrawFn) -> chat_pb2.Message:
    said = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)
    for parts in draw(st.lists(content(), max_size=5)):
        said.content.extend(parts)
    for place, arguments in enumerate(draw(st.lists(OBJECTS, max_size=3))):
        said.tool_calls.add(
            id=f"fc_{place}", type="function", name=draw(WORDS), arguments=json.dumps(arguments),
            signature=draw(SIGNATURES | st.just("")),
        )  # fmt: skip
    return said


def told(message: chat_pb2.Message) -> list[Json]:
    """Gemini's parts for an earlier answer."""
    user = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])
    chat = chat_pb2.ChatRequest(messages=[user, message, user], dialect="gemini")
    body = json.loads(gemini.encode_request(chat, "gemini-2.5-pro", False, Unsaid()).body)
    turns = [turn for turn in body["contents"] if turn["role"] == "model"]
    return turns[0]["parts"] if turns else []


def comparable(message: chat_pb2.Message) -> chat_pb2.Message:
    """The message with JSON in one spelling."""
    copy = chat_pb2.Message()
    copy.CopyFrom(message)
    for call in copy.tool_calls:
        call.arguments = json.dumps(json.loads(call.arguments))
    for part in copy.content:
        if part.extra_json:
            part.extra_json = json.dumps(json.loads(part.extra_json)).encode()
    return copy


@settings(deadline=None)
@given(answers())
def test_an_answer_that_is_sent_back_is_read_as_it_was(message: chat_pb2.Message) -> None:
    body = json.dumps({"candidates": [{"content": {"role": "model", "parts": told(message)}, "finishReason": "STOP"}]})
    (choice,) = gemini.decode_response(body.encode()).choices
    assert comparable(choice.message) == comparable(message)


@settings(deadline=None)
@given(answers(), st.data())
def test_an_answer_that_is_streamed_is_read_as_it_was_however_it_is_cut(
    message: chat_pb2.Message, data: st.DataObject
) -> None:
    parts = told(message)
    events: list[Json] = [{"candidates": [{"content": {"parts": [part]}}]} for part in parts]
    events.append({"candidates": [{"finishReason": "STOP"}]})
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    decoder = gemini.stream_decoder(1, 1 << 20)
    chunks = [c for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) for c in decoder.feed(stream[a:b])]
    assert decoder.complete
    assert decoder.error is None
    assert comparable(joined(chunks)) == comparable(neighbours_joined(message))


def joined(chunks: list[chat_pb2.ChatChunk]) -> chat_pb2.Message:
    """The message that a client puts together: by their places, parts; by their indices, calls."""
    message = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)
    last = -1
    for delta in (delta for chunk in chunks for delta in chunk.deltas):
        for piece in delta.tool_calls:
            assert piece.index == len(message.tool_calls)
            message.tool_calls.add(
                id=piece.id, type=piece.type, name=piece.name, arguments=piece.arguments, signature=piece.signature
            )
        message.content.extend(delta.parts)
        if delta.text or delta.HasField("reasoning"):
            part = message.content[-1] if delta.part == last else message.content.add()
            add(delta, part)
        last = delta.part
    return message


def add(delta: chat_pb2.Delta, part: chat_pb2.ContentPart) -> None:
    if delta.HasField("reasoning"):
        part.reasoning.text += delta.reasoning.text
        part.reasoning.signature += delta.reasoning.signature
        part.reasoning.issuer = delta.reasoning.issuer
    else:
        part.text += delta.text
        part.extra_json = delta.extra_json


def neighbours_joined(message: chat_pb2.Message) -> chat_pb2.Message:
    """Pieces of a stream do not say where one part of text ends and the next begins."""
    whole = chat_pb2.Message(role=message.role, tool_calls=message.tool_calls)
    for part in message.content:
        before = whole.content[-1] if whole.content else chat_pb2.ContentPart()
        kinds = {part.WhichOneof("part"), before.WhichOneof("part")}
        if kinds == {"text"}:
            before.text += part.text
            before.extra_json = part.extra_json
        elif kinds == {"reasoning"} and not before.reasoning.signature and part.reasoning.text:
            before.reasoning.text += part.reasoning.text
            before.reasoning.signature, before.reasoning.issuer = part.reasoning.signature, part.reasoning.issuer
        else:
            whole.content.append(part)
    return whole


SAMPLING = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "seed": st.integers(0, 2**31 - 1),
        "frequency_penalty": st.floats(-2, 2),
        "presence_penalty": st.floats(-2, 2),
        "stop": st.lists(WORDS, min_size=1, max_size=3),
        "max_output_tokens": st.integers(1, 2**31),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(1, 20),
    },
)


@settings(deadline=None)
@given(SAMPLING, st.integers(1, 8), st.lists(st.sampled_from(["text", "image", "audio"]), unique=True), OBJECTS)
def test_how_an_answer_is_to_be_made_can_be_read_back(
    sampling: Json, choices: int, modalities: list[str], schema: Json
) -> None:
    user = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])
    wanted = chat_pb2.ResponseFormat(
        kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=json.dumps(schema).encode()
    )
    chat = chat_pb2.ChatRequest(
        messages=[user],
        sampling=chat_pb2.SamplingOptions(**sampling),
        choice_count=choices,
        modalities=modalities,
        response_format=wanted,
    )
    config = json.loads(gemini.encode_request(chat, "m", False, Unsaid()).body)["generationConfig"]
    assert read_back(config) == chat_pb2.ChatRequest(
        sampling=chat.sampling if sampling else None,
        choice_count=choices,
        modalities=modalities,
        response_format=wanted,
    )


def read_back(config: Json) -> chat_pb2.ChatRequest:
    """What Gemini makes of it, by its own names."""
    chat = chat_pb2.ChatRequest(choice_count=config.pop("candidateCount"))
    chat.modalities.extend(each.lower() for each in config.pop("responseModalities", ()))
    assert config.pop("responseMimeType") == "application/json"
    chat.response_format.kind = chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA
    chat.response_format.schema_json = json.dumps(config.pop("responseJsonSchema")).encode()
    names = {
        "temperature": "temperature", "topP": "top_p", "topK": "top_k", "seed": "seed", "stopSequences": "stop",
        "frequencyPenalty": "frequency_penalty", "presencePenalty": "presence_penalty",
        "maxOutputTokens": "max_output_tokens", "responseLogprobs": "logprobs", "logprobs": "top_logprobs",
    }  # fmt: skip
    if config:
        chat.sampling.CopyFrom(chat_pb2.SamplingOptions(**{names[name]: value for name, value in config.items()}))
    return chat


KEYS = st.sampled_from(
    """
    candidates content parts text thought thoughtSignature functionCall name args id inlineData mimeType data fileData
    fileUri finishReason index logprobsResult chosenCandidates topCandidates token logProbability groundingMetadata
    groundingChunks groundingSupports groundingChunkIndices segment startIndex endIndex partIndex citationMetadata
    citations uri title usageMetadata promptTokenCount promptTokensDetails modality tokenCount promptFeedback
    blockReason responseId modelVersion createTime error code message status details reason retryDelay
    """.split()  # noqa: SIM905
)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["STOP", "image/png", "AA==", "TEXT"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_whatever_comes_is_an_answer_or_an_error_of_the_table(anything: Any) -> None:
    for answer in (anything, {"candidates": [anything]}, {"candidates": [{"content": {"parts": [anything]}}]}):
        body = json.dumps(answer).encode()
        with suppress(TollwayError):
            gemini.decode_response(body)
        decoder = gemini.stream_decoder(1, 1 << 20)
        decoder.feed(b"data: " + body + b"\n\n")
        gemini.decode_error(400, {}, body, 0.0)
