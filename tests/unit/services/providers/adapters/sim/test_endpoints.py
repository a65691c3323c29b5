"""What the sim answers where it is not asked to chat, in memory and over TCP."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.services.providers.house import House
from tollway.chat.v1 import embedding_pb2, forwarding_pb2
from tollway.providers.v1 import providers_pb2

FORMS = ("sim", "remote")
IMAGES = forwarding_pb2.ENDPOINT_IMAGE_GENERATIONS
SPEECH = forwarding_pb2.ENDPOINT_AUDIO_SPEECH
TRANSCRIPTIONS = forwarding_pb2.ENDPOINT_AUDIO_TRANSCRIPTIONS
MODERATIONS = forwarding_pb2.ENDPOINT_MODERATIONS
RERANK = forwarding_pb2.ENDPOINT_RERANK


def asked(endpoint: forwarding_pb2.Endpoint.ValueType, **fields: Any) -> forwarding_pb2.ForwardedQuestion:
    return forwarding_pb2.ForwardedQuestion(endpoint=endpoint, json=json.dumps(fields).encode())


def recording(**fields: str) -> forwarding_pb2.ForwardedQuestion:
    question = forwarding_pb2.ForwardedQuestion(endpoint=TRANSCRIPTIONS)
    question.form.fields.add(name="file", value=b"\r\n--RIFF\0\xff" * 5000, filename="a.wav", content_type="audio/wav")
    for name, value in fields.items():
        question.form.fields.add(name=name, value=value.encode())
    return question


QUESTIONS = {
    "images": asked(IMAGES, prompt="a cat", n=2),
    "streamed images": asked(IMAGES, prompt="a cat", stream=True, partial_images=2),
    "speech": asked(SPEECH, input="Hello there", voice="any"),
    "raw speech": asked(SPEECH, input="Hello there", voice="any", response_format="pcm"),
    "speech as events": asked(SPEECH, input="Hello there", voice="any", stream_format="sse"),
    "a transcription": recording(),
    "a streamed transcription": recording(stream="true"),
    "a transcription as text": recording(response_format="text"),
    "a long transcription": recording(response_format="verbose_json"),
    "subtitles": recording(response_format="vtt"),
    "a moderation": asked(MODERATIONS, input=["no harm", "a cat"]),
    "a moderation of parts": asked(MODERATIONS, input=[{"type": "text", "text": "no harm"}]),
    "a reranking": asked(RERANK, query="blue sky", documents=["red", "the sky is blue", {"text": "blue"}], top_n=2),
}
EVENTS = ("streamed images", "speech as events", "a streamed transcription")


def body(responses: list[providers_pb2.ForwardResponse]) -> bytes:
    return b"".join(response.data for response in responses)


def answer(responses: list[providers_pb2.ForwardResponse]) -> Any:
    return json.loads(body(responses))


async def heard(house: House, name: str) -> list[providers_pb2.ForwardResponse]:
    responses, error = await house.pass_on(QUESTIONS[name])
    assert error is None
    return responses


@pytest.mark.parametrize("name", QUESTIONS)
async def test_the_same_question_gets_the_same_answer_in_memory_and_over_tcp(house: House, name: str) -> None:
    found = []
    for provider in (*FORMS, "sim"):
        responses, error = await house.pass_on(QUESTIONS[name], provider=provider)
        assert error is None
        found.append((responses[0].head.content_type, body(responses), responses[-1].usage))
    assert found[0] == found[1] == found[2]
    assert found[0][1]


async def test_vectors_are_the_same_in_memory_and_over_tcp_and_have_the_length_one(house: House) -> None:
    memory, tcp = [await house.embed("Hello", "there", provider=provider) for provider in FORMS]
    assert memory.embedding == tcp.embedding
    for each in memory.embedding.embeddings:
        assert len(each.values) == 64
        assert math.isclose(sum(number * number for number in each.values), 1.0, abs_tol=1e-5)
    assert memory.embedding.usage.input_tokens == 2


async def test_vectors_have_as_many_numbers_as_are_asked_for(house: House) -> None:
    response = await house.embed("Hello", dimensions=5)
    assert len(response.embedding.embeddings[0].values) == 5


async def test_tokens_are_texts_to_it_too(house: House) -> None:
    inputs = [embedding_pb2.EmbeddingInput(tokens=embedding_pb2.TokenList(tokens=[1, 2, 3]))]
    response = await house.embed(inputs=inputs)
    assert response.embedding.usage.input_tokens == 3


async def test_pictures_come_whole_or_as_events_that_end_with_what_they_took(house: House) -> None:
    whole = answer(await heard(house, "images"))
    assert len(whole["data"]) == 2
    events = body(await heard(house, "streamed images")).decode().strip().split("\n\n")
    assert [event.split("\n")[0] for event in events] == [
        "event: image_generation.partial_image",
        "event: image_generation.partial_image",
        "event: image_generation.completed",
    ]
    assert "usage" in json.loads(events[-1].split("data: ")[1])


async def test_speech_is_a_sound_that_can_be_played(house: House) -> None:
    responses = await heard(house, "speech")
    assert responses[0].head.content_type == "audio/wav"
    assert body(responses)[:4] == b"RIFF"


async def test_words_are_made_of_a_file_that_came_through_whatever_bytes_are_in_it(house: House) -> None:
    said = answer(await heard(house, "a transcription"))
    assert said["text"]
    assert said["usage"]["input_token_details"]["audio_tokens"] > 0
    assert body(await heard(house, "a transcription as text")).decode().strip() == said["text"]


async def test_what_speaks_of_harm_is_flagged(house: House) -> None:
    results = answer(await heard(house, "a moderation"))["results"]
    assert [each["flagged"] for each in results] == [True, False]


async def test_documents_are_put_in_order(house: House) -> None:
    results = answer(await heard(house, "a reranking"))["results"]
    assert [each["index"] for each in results] == [1, 2]


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (asked(IMAGES), "prompt"),
        (asked(IMAGES, prompt="a cat", n=0), "n"),
        (asked(IMAGES, prompt="a cat", partial_images="2"), "partial_images"),
        (asked(SPEECH, input=7), "input"),
        (asked(MODERATIONS, input=7), "input"),
        (asked(MODERATIONS, input=["x", {"type": "text", "text": "y"}]), "input"),
        (asked(RERANK, query="a", documents=[]), "documents"),
        (asked(RERANK, query="a", documents=["b"], top_n=1.5), "top_n"),
        (forwarding_pb2.ForwardedQuestion(endpoint=TRANSCRIPTIONS, form=forwarding_pb2.Form()), "file"),
    ],
)
async def test_what_makes_no_sense_is_refused_as_a_provider_would(
    house: House, question: forwarding_pb2.ForwardedQuestion, field: str
) -> None:
    for provider in FORMS:
        _, error = await house.pass_on(question, provider=provider)
        assert error is not None
        assert (error.reason, error.metadata["upstream_param"]) == (Reason.UPSTREAM_REJECTED, field)


FAULTS = {
    "status-503": Reason.UPSTREAM_FAILED,
    "status-429:retry-after=2": Reason.UPSTREAM_RATE_LIMITED,
    "status-401": Reason.UPSTREAM_CREDENTIALS,
    "model-not-found": Reason.UPSTREAM_MODEL_NOT_FOUND,
    "error-body": Reason.UPSTREAM_FAILED,
    "reset": Reason.UPSTREAM_UNREACHABLE,
    "cut": Reason.UPSTREAM_CUT,
    "silence": Reason.UPSTREAM_SILENT,
    "stall": Reason.UPSTREAM_SILENT,
}
LIMITS = {"silence": {"headers": 0.15}, "stall": {"gap": 0.15, "first_token": 5.0}}


@pytest.mark.parametrize("model", FAULTS)
@pytest.mark.parametrize("provider", FORMS)
async def test_it_fails_as_it_does_in_conversations(house: House, provider: str, model: str) -> None:
    limits = LIMITS.get(model, {})
    with pytest.raises(TollwayError) as failed:
        await house.embed("Hello", model=model, provider=provider, **limits)
    assert failed.value.reason is FAULTS[model]
    for name in ("images", "speech"):
        responses, error = await house.pass_on(QUESTIONS[name], model, provider, **limits)
        assert error is not None
        assert error.reason is FAULTS[model]
        assert bool(responses) == (name == "speech" and model in ("cut", "stall")), "JSON comes whole, or not at all"
