from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import Edge, Reply, eventually
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, passed, receipt
from tollway.chat.v1.forwarding_pb2 import Endpoint, FormField
from tollway.router.v1 import router_pb2 as rpc

SPEECH, TRANSCRIPTIONS, IMAGES = "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/images/generations"
JSON_PATHS = {
    IMAGES: Endpoint.ENDPOINT_IMAGE_GENERATIONS,
    SPEECH: Endpoint.ENDPOINT_AUDIO_SPEECH,
    "/v1/moderations": Endpoint.ENDPOINT_MODERATIONS,
    "/v1/rerank": Endpoint.ENDPOINT_RERANK,
}
QUESTION = {"model": "m-1", "input": "Hello", "voice": "alloy"}
JSON = {"content-type": "application/json"}
BOUNDARY = "b0"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
CUT = TollwayError(Reason.UPSTREAM_CUT, "it broke off")


async def post(
    edge: Edge, path: str = SPEECH, question: Any = None, headers: dict[str, str] | None = None, raw: bytes = b""
) -> Reply:
    body = raw or json.dumps(QUESTION if question is None else question).encode()
    return await edge.ask("POST", path, body, {**JSON, **(headers or {})})


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{" ; filename=a.wav" if name == "file" else ""}'
        "\r\n\r\n".encode()
        + value
        + b"\r\n"
        for name, value in fields
    )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def broken(*pieces: bytes, kind: str = "audio/wav", length: int | None = None) -> list[Any]:
    """An answer that breaks off."""
    return [*passed(*pieces, kind=kind, length=length)[:-1], CUT]


@pytest.mark.parametrize("path", JSON_PATHS)
async def test_a_question_is_passed_on_as_it_stands(edge: Edge, path: str) -> None:
    question = {"model": "m-1", "input": ["x"], "unknown": {"a": 1.50}}
    reply = await post(edge, path, question)

    assert reply.status == 200
    (request,) = edge.router.requests
    assert (request.question.endpoint, request.question.model) == (JSON_PATHS[path], "m-1")
    assert json.loads(request.question.json) == question
    assert request.request_id == reply.headers["x-request-id"]


async def test_sound_is_passed_back_to_the_byte(edge: Edge) -> None:
    edge.router.passed = passed(b"RIFF\0", b"\xff" * 100_000)
    reply = await post(edge)
    assert (reply.body, reply.headers["content-type"]) == (b"RIFF\0" + b"\xff" * 100_000, "audio/wav")
    assert reply.headers["x-tollway-deployment"] == DEPLOYMENT
    assert reply.headers["transfer-encoding"] == "chunked"


async def test_names_that_no_header_can_hold_lose_no_answer(edge: Edge) -> None:
    edge.router.passed = answer = passed(b"RIFF", kind="audio/\x01wav")
    for message in answer:
        message.receipt.deployment = "local/a\nb"
    reply = await post(edge)
    assert (reply.status, reply.body) == (200, b"RIFF")
    assert (reply.headers["content-type"], reply.headers["x-tollway-deployment"]) == (
        "application/octet-stream", "local/a%0Ab",
    )  # fmt: skip


async def test_a_length_that_is_known_is_told(edge: Edge) -> None:
    edge.router.passed = passed(b"RIFF", b"tone", length=8)
    reply = await post(edge)
    assert (reply.headers["content-length"], reply.body) == ("8", b"RIFFtone")


async def test_the_openai_sdk_reads_speech_as_it_arrives(edge: Edge) -> None:
    more = asyncio.Event()
    first, second, end = passed(b"RIFF", b"tone")
    edge.router.passed = [first, more, second, end]
    speech = edge.openai().audio.speech.with_streaming_response
    async with speech.create(model="tts", voice="alloy", input="Hi") as response:
        pieces = response.iter_bytes()
        assert await anext(pieces) == b"RIFF"
        more.set()
        assert await anext(pieces) == b"tone"


async def test_json_has_headers_that_say_what_it_cost(edge: Edge) -> None:
    edge.router.passed = passed(b'{"data": ', b"[]}", kind="application/json")
    reply = await post(edge, IMAGES)
    assert (reply.json, reply.headers["content-type"]) == ({"data": []}, "application/json")
    assert reply.headers["x-tollway-cost-usd"] == "0.005"
    assert reply.headers["content-length"] == "12"


async def test_json_that_breaks_off_is_an_error_and_nothing_else(edge: Edge) -> None:
    edge.router.passed = broken(b'{"data": ', kind="application/json")
    reply = await post(edge, IMAGES)
    assert (reply.status, reply.error["code"]) == (502, "upstream_cut")


async def test_events_are_passed_back_as_they_are(edge: Edge) -> None:
    edge.router.passed = passed(b"data: 1\n\n", b"data: 2\n\n", kind="text/event-stream; charset=utf-8")
    reply = await post(edge, IMAGES)
    assert reply.body == b"data: 1\n\ndata: 2\n\n"
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-accel-buffering"] == "no"


async def test_events_that_break_off_end_with_an_error(edge: Edge) -> None:
    edge.router.passed = broken(b"data: 1\n\n", b'data: {"half', kind="text/event-stream")
    reply = await post(edge, IMAGES)
    whole, half, error = [event for event in reply.body.decode().split("\n\n") if event]
    assert (whole, half) == ("data: 1", 'data: {"half')
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_cut"
    assert edge.tracer.spans[0].error == ("UPSTREAM_CUT", "it broke off")


async def test_the_openai_sdk_raises_where_events_break_off(edge: Edge) -> None:
    event = b'event: image_generation.partial_image\ndata: {"type": "image_generation.partial_image"}\n\n'
    edge.router.passed = broken(event, kind="text/event-stream")
    stream = await edge.openai().images.generate(model="m", prompt="x", stream=True)
    assert (await anext(stream)).type == "image_generation.partial_image"
    with pytest.raises(openai.APIError, match="it broke off"):
        await anext(stream)


@pytest.mark.parametrize("length", [None, 100], ids=["chunked", "of a known length"])
async def test_sound_that_breaks_off_never_looks_finished(edge: Edge, length: int | None) -> None:
    edge.router.passed = broken(b"RIFF", length=length)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await post(edge)


async def test_where_the_connection_ends_the_answer_it_is_torn_down(edge: Edge) -> None:
    edge.router.passed = broken(b"RIFF")
    async with edge.socket() as client:
        body = json.dumps(QUESTION).encode()
        head = f"POST {SPEECH} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_before_the_first_byte_an_error_is_the_answer(edge: Edge) -> None:
    edge.router.passed = [TollwayError(Reason.UPSTREAM_RATE_LIMITED, "slow down", {}, 3.0)]
    reply = await post(edge)
    assert (reply.status, reply.headers["retry-after"]) == (429, "3")
    assert reply.error["code"] == "upstream_rate_limited"


async def test_an_answer_that_never_begins_is_an_error(edge: Edge) -> None:
    edge.router.passed = []
    assert (await post(edge)).status == 500


async def test_an_answer_may_be_empty(edge: Edge) -> None:
    edge.router.passed = passed(b"")
    reply = await post(edge)
    assert (reply.status, reply.body) == (200, b"")


async def test_a_client_that_leaves_stops_the_call(edge: Edge) -> None:
    edge.router.passed = [*passed(b"RIFF")[:1], asyncio.Event()]
    async with edge.socket() as client:
        client.send_request(json.dumps(QUESTION).encode(), path=SPEECH)
        await client.reader.readuntil(b"RIFF")
    await asyncio.wait_for(edge.router.cancelled.wait(), 5)


async def test_a_client_that_does_not_read_slows_the_router_down(edge: Edge) -> None:
    head, *_ = passed(b"RIFF")
    edge.router.passed = [head, *[rpc.ForwardResponse(data=b"x" * 200_000)] * 1000]
    async with edge.socket() as client:
        client.send_request(json.dumps(QUESTION).encode(), path=SPEECH)
        await client.reader.readuntil(b"RIFF")
        await eventually(lambda: edge.router.sent > 3)
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert edge.router.sent < 500, "what has nowhere to go is not asked for"


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False], ids=["the model first", "the model last"])
async def test_the_model_is_found_wherever_it_stands_and_files_are_bytes(edge: Edge, first: bool) -> None:
    model, file = ("model", b"whisper"), ("file", b"\0\r\n--\xff")
    edge.router.passed = passed(b'{"text": "hi"}', kind="application/json")
    reply = await edge.ask("POST", TRANSCRIPTIONS, form(*((model, file) if first else (file, model))), FORM)

    assert reply.json == {"text": "hi"}
    (request,) = edge.router.requests
    assert request.question.model == "whisper"
    assert FormField(name="file", value=b"\0\r\n--\xff", filename="a.wav") in request.question.form.fields


async def test_the_openai_sdk_sends_a_file_and_reads_its_words(edge: Edge) -> None:
    edge.router.passed = passed(b'{"text": "hi"}', kind="application/json")
    answer = await edge.openai().audio.transcriptions.create(model="whisper", file=("a.wav", b"RIFF\0"), language="en")
    assert answer.text == "hi"
    fields = {field.name: field for field in edge.router.requests[0].question.form.fields}
    assert (fields["file"].value, fields["file"].filename) == (b"RIFF\0", "a.wav")
    assert fields["language"].value == b"en"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "the form is not whole"),
        (b"not a form", "the form is not whole"),
        (form(("model", b"m"))[:-8], "the form is not whole"),
        (form(("file", b"x")), "model: must be given"),
        (form(("model", b"")), "model: must be a name"),
        (form(("model", b"\xff")), "model: must be UTF-8"),
        (form(("model", b"a\0b")), "model: must be a name"),
        (form(*[("a", b"x")] * 1025), "the form has more than 1024 fields"),
    ],
)
async def test_a_form_that_cannot_be_read_is_a_400_that_says_why(edge: Edge, raw: bytes, why: str) -> None:
    reply = await edge.ask("POST", TRANSCRIPTIONS, raw, FORM)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert why in reply.error["message"]
    assert not edge.router.requests


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
async def test_what_is_no_form_is_a_415_that_says_what_to_send(edge: Edge, kind: str) -> None:
    reply = await edge.ask("POST", TRANSCRIPTIONS, b"{}", {"content-type": kind})
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")
    assert "multipart/form-data" in reply.error["message"]


async def test_a_form_without_a_boundary_is_a_400(edge: Edge) -> None:
    reply = await edge.ask("POST", TRANSCRIPTIONS, b"x", {"content-type": "multipart/form-data"})
    assert (reply.status, reply.error["message"]) == (400, "the form has no boundary in its content-type")


async def test_a_form_that_another_site_s_page_sends_is_turned_away(edge: Edge) -> None:
    headers = {**FORM, "origin": "https://evil.example"}
    reply = await edge.ask("POST", TRANSCRIPTIONS, form(("model", b"m")), headers)
    assert reply.status == 403
    assert not edge.router.requests


async def test_a_form_that_is_too_large_is_a_413(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=1000)
    reply = await edge.ask("POST", TRANSCRIPTIONS, form(("model", b"m"), ("file", b"x" * 1000)), FORM)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_a_form_that_trickles_in_is_given_up_on(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock=clock, body_timeout=5.0)
    async with edge.socket() as client:
        head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
        client.send_request(form(("model", b"m"))[:20], head, "Content-Length: 500", path=TRANSCRIPTIONS)
        await eventually(lambda: edge.tracer.spans)
        await clock.advance(5.1)
        reply = await client.reply()
    assert (reply.status, reply.error["code"]) == (408, "request_timeout")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SPEECH, "/v1/rerank"])
@pytest.mark.parametrize("model", [None, 7, "", ["m"]])
async def test_a_model_that_is_missing_or_no_name_is_a_400(edge: Edge, path: str, model: Any) -> None:
    reply = await post(edge, path, {"model": model, "input": "x"})
    assert (reply.status, reply.error["param"]) == (400, "model")
    assert not edge.router.requests


@pytest.mark.parametrize(
    ("path", "model"), [("/v1/moderations", "omni-moderation-latest"), (IMAGES, "chatgpt-image-latest")]
)
async def test_where_openai_s_clients_may_leave_the_model_out_there_is_one(edge: Edge, path: str, model: str) -> None:
    await post(edge, path, {"input": "x"})
    assert edge.router.requests[0].question.model == model


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff", b'{"model": "m", "input": "\\u0000"}', b"[" * 200 + b"]" * 200])
async def test_a_body_that_is_no_object_is_a_400(edge: Edge, raw: bytes) -> None:
    assert (await post(edge, raw=raw)).status == 400
    assert not edge.router.requests


async def test_headers_of_the_question_reach_the_router(edge: Edge) -> None:
    headers = {"x-tollway-tags": "nightly", "idempotency-key": "k", "api-key": "key", "x-tollway-timeout": "7s"}
    await post(edge, headers=headers)
    (request,), (metadata,) = edge.router.requests, edge.router.metadata
    assert (list(request.tags), request.preferences.idempotency_key) == (["nightly"], "k")
    assert metadata["authorization"] == "Bearer key"


@pytest.mark.parametrize("header", ["x-tollway-explain", "x-tollway-timeout", "x-tollway-tags", "x-tollway-cache"])
async def test_a_header_that_makes_no_sense_is_a_400_that_names_it(edge: Edge, header: str) -> None:
    reply = await post(edge, headers={header: "1" if header == "x-tollway-explain" else "?!"})
    assert (reply.status, reply.error["param"]) == (400, header)


async def test_the_cost_is_left_out_where_it_is_not_known(edge: Edge) -> None:
    first, end = passed(b"{}", kind="application/json")
    end.receipt.CopyFrom(receipt())
    edge.router.passed = [first, end]
    assert "x-tollway-cost-usd" not in (await post(edge, IMAGES)).headers
