from __future__ import annotations

import orjson
import pytest

from services.router.domain.expectation import Expectation
from services.router.domain.likeness import (
    fields_of,
    of_embedding,
    of_forwarded,
    of_vectors,
    one_for_each,
    wants_stream,
)
from services.router.domain.needs import Needs
from services.router.domain.reservation import client_cap
from tests.unit.services.router.twins import USAGE, vectors
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest, EmbeddingResponse, TokenList
from tollway.chat.v1.forwarding_pb2 import Endpoint, Form, FormField, ForwardedQuestion

SPEECH, IMAGES = Endpoint.ENDPOINT_AUDIO_SPEECH, Endpoint.ENDPOINT_IMAGE_GENERATIONS


def embedding(*inputs: EmbeddingInput) -> EmbeddingRequest:
    return EmbeddingRequest(model="gpt", inputs=inputs)


def question(body: object, endpoint: Endpoint.ValueType = SPEECH) -> ForwardedQuestion:
    return ForwardedQuestion(endpoint=endpoint, model="gpt", json=orjson.dumps(body))


def form(**fields: bytes) -> ForwardedQuestion:
    made = [FormField(name=name, value=value) for name, value in fields.items()]
    made.append(FormField(name="file", value=b"stream=true", filename="a.wav"))
    return ForwardedQuestion(endpoint=Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS, model="gpt", form=Form(fields=made))


def test_texts_weigh_what_they_would_in_a_conversation() -> None:
    chat = of_embedding(embedding(EmbeddingInput(text="x" * 40), EmbeddingInput(text="y" * 8)))
    assert chat.model == "gpt"
    assert Needs(chat).input_tokens == 12
    assert not Needs(chat).features


def test_tokens_weigh_as_many_tokens() -> None:
    chat = of_embedding(embedding(EmbeddingInput(tokens=TokenList(tokens=[5, 6, 7]))))
    assert Needs(chat).input_tokens == 3


def test_nothing_is_expected_to_be_answered_in_tokens() -> None:
    chat = of_embedding(embedding(EmbeddingInput(text="x" * 40)))
    expected = Expectation().tokens("ci", chat)
    assert (expected.least, expected.likely) == (10, 10)
    assert client_cap(chat) == 0


def test_an_answer_in_vectors_says_who_gave_it_and_what_it_took() -> None:
    assert (of_vectors(vectors([1.0])).model, of_vectors(vectors([1.0])).usage) == ("m-2026", USAGE)
    assert not of_vectors(EmbeddingResponse()).HasField("usage")


@pytest.mark.parametrize(("answered", "whole"), [(2, True), (1, False), (3, False)])
def test_there_is_one_vector_for_each_text_or_the_answer_is_not_whole(answered: int, whole: bool) -> None:
    asked = embedding(EmbeddingInput(text="a"), EmbeddingInput(text="b"))
    assert one_for_each(asked, vectors(*[[1.0]] * answered)) is whole


def test_two_vectors_for_one_text_are_none_for_the_other() -> None:
    answer = vectors([1.0], [2.0])
    answer.embeddings[1].index = 0
    assert not one_for_each(embedding(EmbeddingInput(text="a"), EmbeddingInput(text="b")), answer)


def test_the_words_of_what_is_passed_on_are_weighed_wherever_they_stand() -> None:
    body = {"query": "x" * 8, "documents": ["y" * 8, {"text": "z" * 8}], "top_n": 3, "other": "w" * 400}
    assert Needs(of_forwarded(question(body))).input_tokens == 6


def test_pictures_are_not_weighed_as_words() -> None:
    body = {"input": [{"type": "text", "text": "x" * 8}, {"type": "image_url", "image_url": {"url": "d" * 4000}}]}
    assert Needs(of_forwarded(question(body))).input_tokens == 2


def test_files_of_a_form_are_not_weighed_and_its_words_are() -> None:
    assert Needs(of_forwarded(form(prompt=b"x" * 8))).input_tokens == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_what_is_no_object_weighs_nothing_and_is_refused_elsewhere(body: bytes) -> None:
    asked = ForwardedQuestion(endpoint=SPEECH, model="gpt", json=body)
    assert fields_of(asked) == {}
    assert Needs(of_forwarded(asked)).input_tokens == 0


def test_however_deep_a_value_is_its_words_are_found() -> None:
    deep = b'{"input": ' + b"[" * 900 + b'"xxxx"' + b"]" * 900 + b"}"
    assert Needs(of_forwarded(ForwardedQuestion(endpoint=SPEECH, model="gpt", json=deep))).input_tokens == 1


def test_sound_comes_as_it_is_made_and_the_rest_where_that_is_asked_for() -> None:
    assert wants_stream(question({}))
    assert not wants_stream(question({}, IMAGES))
    assert wants_stream(question({"stream": True}, IMAGES))
    assert wants_stream(form(stream=b"true"))
    assert not wants_stream(form(stream=b"false"))
