from __future__ import annotations

import json
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai import encode_forward, forward_usage
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import forwarding_pb2 as pb
from tollway.chat.v1.chat_pb2 import Usage


def field(name: str, value: bytes, **fields: str) -> pb.FormField:
    return pb.FormField(name=name, value=value, **fields)


def form(*fields: pb.FormField) -> pb.ForwardedQuestion:
    return pb.ForwardedQuestion(endpoint=pb.ENDPOINT_AUDIO_TRANSCRIPTIONS, form=pb.Form(fields=fields))


def parts_of(encoded: Encoded) -> list[Message]:
    """A form as somebody else reads it."""
    head = f"content-type: {encoded.headers['content-type']}\r\n\r\n".encode()
    parts: Any = message_from_bytes(head + encoded.body).get_payload()
    return list(parts)


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        (pb.ENDPOINT_IMAGE_GENERATIONS, "/images/generations"),
        (pb.ENDPOINT_AUDIO_SPEECH, "/audio/speech"),
        (pb.ENDPOINT_AUDIO_TRANSCRIPTIONS, "/audio/transcriptions"),
        (pb.ENDPOINT_MODERATIONS, "/moderations"),
        (pb.ENDPOINT_RERANK, "/rerank"),
    ],
)
def test_a_question_goes_where_it_was_meant_to_and_names_the_provider_s_model(
    endpoint: pb.Endpoint.ValueType, path: str
) -> None:
    written = b'{"model":"alias","prompt":"a cat","big":123456789012345678901234567890}'
    encoded = encode_forward(pb.ForwardedQuestion(endpoint=endpoint, json=written), "m")
    assert encoded.path == path
    assert encoded.body == written.replace(b"alias", b"m")
    assert encoded.headers["accept"] == "*/*"


def test_a_question_that_names_no_model_is_given_one() -> None:
    encoded = encode_forward(pb.ForwardedQuestion(endpoint=pb.ENDPOINT_MODERATIONS, json=b'{"input":"x"}'), "m")
    assert json.loads(encoded.body) == {"input": "x", "model": "m"}


def test_a_form_arrives_as_it_was_sent_but_for_the_model() -> None:
    sound = bytes(range(256)) + b"\r\n--\r\n"
    encoded = encode_forward(
        form(
            field("model", b"alias"),
            field("file", sound, filename='a "b".wav', content_type="audio/wav"),
            field("timestamp_granularities[]", b"word"),
            field("model", b"another"),
        ),
        "m",
    )
    model, file, granularity = parts_of(encoded)
    assert (model.get_param("name", header="content-disposition"), model.get_payload(decode=True)) == ("model", b"m")
    assert file.get_payload(decode=True) == sound
    assert file.get_filename() == "a %22b%22.wav"
    assert file.get_content_type() == "audio/wav"
    assert granularity.get_param("name", header="content-disposition") == "timestamp_granularities[]"


def test_a_form_that_names_no_model_is_given_one() -> None:
    file, model = parts_of(encode_forward(form(field("file", b"x", filename="a.wav")), "m"))
    assert file.get_filename() == "a.wav"
    assert model.get_payload(decode=True) == b"m"


def test_every_form_has_a_boundary_of_its_own() -> None:
    question = form(field("file", b"x"))
    assert encode_forward(question, "m").headers != encode_forward(question, "m").headers


def test_a_field_cannot_add_lines_to_the_form_s_heads() -> None:
    encoded = encode_forward(form(field("a\r\nx-evil: 1", b"", filename="b\nc")), "m")
    assert b"\nx-evil" not in encoded.body
    with pytest.raises(TollwayError, match=r"fields\[0\]\.content_type"):
        encode_forward(form(field("a", b"", content_type="text/plain\r\nx-evil: 1")), "m")


@pytest.mark.parametrize(
    ("question", "path"),
    [
        (pb.ForwardedQuestion(json=b"{}"), "question.endpoint"),
        (pb.ForwardedQuestion(endpoint=pb.ENDPOINT_RERANK), "question.body"),
        (pb.ForwardedQuestion(endpoint=pb.ENDPOINT_RERANK, json=b"[1]"), "question.json"),
    ],
)
def test_what_is_no_question_is_named_by_its_path(question: pb.ForwardedQuestion, path: str) -> None:
    with pytest.raises(TollwayError) as caught:
        encode_forward(question, "m")
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in caught.value.violations] == [path]


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (
            {"input_tokens": 9, "output_tokens": 50, "total_tokens": 59, "output_tokens_details": {"image_tokens": 50}},
            Usage(input_tokens=9, output_tokens=50, output_image_tokens=50),
        ),
        (
            {"type": "tokens", "input_tokens": 9, "output_tokens": 5, "input_token_details": {"audio_tokens": 8}},
            Usage(input_tokens=9, output_tokens=5, input_audio_tokens=8),
        ),
        ({"prompt_tokens": 9, "total_tokens": 9}, Usage(input_tokens=9)),
        ({"total_tokens": 9}, Usage(input_tokens=9)),
        ({"type": "duration", "seconds": 3}, Usage()),
        (None, None),
        ({}, None),
        ("many", None),
    ],
)
def test_usage_is_read_by_either_of_its_names(said: Any, usage: Usage | None) -> None:
    read = forward_usage("application/json; charset=utf-8", json.dumps({"usage": said}).encode())
    if read is not None:
        kept = json.loads(read.extra_json or b"{}")
        assert all(said[name] == value for name, value in kept.items())
        read.extra_json = b""
    assert read == usage


def test_seconds_of_sound_are_kept_under_their_own_name() -> None:
    read = forward_usage("application/json", b'{"usage":{"type":"duration","seconds":3}}')
    assert read is not None
    assert json.loads(read.extra_json) == {"type": "duration", "seconds": 3}


def test_the_last_usage_of_a_stream_counts() -> None:
    events = [{"type": "delta"}, {"usage": {"input_tokens": 1}}, {"usage": {"input_tokens": 2}}, {"type": "x"}]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    assert forward_usage("text/event-stream", body) == Usage(input_tokens=2)


@pytest.mark.parametrize(
    ("kind", "body"), [("audio/mpeg", b'{"usage":{"input_tokens":1}}'), ("application/json", b"{"), ("", b"")]
)
def test_what_does_not_say_what_it_took_has_no_usage(kind: str, body: bytes) -> None:
    assert forward_usage(kind, body) is None
