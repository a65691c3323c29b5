from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mesh.errors import Reason
from tests.unit.services.providers.house import ATTEMPT, House, open_house
from tests.unit.services.providers.upstream import Exchange, Play, Upstream, upstream
from tollway.chat.v1 import forwarding_pb2

SPEECH = forwarding_pb2.ForwardedQuestion(
    endpoint=forwarding_pb2.ENDPOINT_AUDIO_SPEECH, model="alias", json=b'{"model": "alias", "input": "Hi", "speed": 2}'
)
IMAGES = forwarding_pb2.ForwardedQuestion(
    endpoint=forwarding_pb2.ENDPOINT_IMAGE_GENERATIONS, model="alias", json=b'{"prompt": "a cat"}'
)


def recording() -> forwarding_pb2.ForwardedQuestion:
    question = forwarding_pb2.ForwardedQuestion(endpoint=forwarding_pb2.ENDPOINT_AUDIO_TRANSCRIPTIONS, model="alias")
    question.form.fields.add(name="file", value=b"\0\r\n--\xff", filename="a b.wav", content_type="audio/wav")
    question.form.fields.add(name="model", value=b"alias")
    question.form.fields.add(name="language", value="fran\u00e7ais".encode())
    return question


def sending(*chunks: bytes, kind: str = "audio/mpeg") -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", kind)
        for chunk in chunks:
            await exchange.chunk(chunk)
        await exchange.chunk(b"")

    return play


def answering(body: Any, kind: str = "application/json") -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(json.dumps(body).encode())

    return play


def at(server: Upstream) -> dict[str, Any]:
    return {"p": {"base_url": server.url, "api_key": "sk-secret"}}


async def test_the_question_goes_out_as_it_stands_but_for_the_model() -> None:
    seen: list[bytes] = []

    async def play(exchange: Exchange) -> None:
        seen.append(exchange.body)
        await exchange.whole(b"{}")

    async with upstream(play) as server, open_house(at(server)) as house:
        await house.pass_on(SPEECH, "tts-1", "p")
    assert json.loads(seen[0]) == {"model": "tts-1", "input": "Hi", "speed": 2}
    assert server.requests[0].startswith("POST /v1/audio/speech ")
    headers = server.headers()
    assert headers["x-client-request-id"] == ATTEMPT
    assert headers["authorization"] == "Bearer sk-secret"


async def test_a_form_goes_out_with_its_file_to_the_byte() -> None:
    seen: list[bytes] = []

    async def play(exchange: Exchange) -> None:
        seen.append(exchange.body)
        await exchange.whole(b'{"text": "hi"}')

    async with upstream(play) as server, open_house(at(server)) as house:
        _, error = await house.pass_on(recording(), "whisper-1", "p")
    assert error is None
    kind, _, boundary = server.headers()["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    parts = seen[0].split(b"--" + boundary.encode())[1:-1]
    assert sum(b'name="model"' in part for part in parts) == 1
    assert any(part.endswith(b"\r\n\r\nwhisper-1\r\n") for part in parts)
    assert any(b'filename="a b.wav"' in part and part.endswith(b"\0\r\n--\xff\r\n") for part in parts)


async def test_sound_is_passed_on_as_it_arrives() -> None:
    more = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "audio/mpeg")
        await exchange.chunk(b"one")
        await more.wait()
        await exchange.chunk(b"two")
        await exchange.chunk(b"")

    async with upstream(play) as server, open_house(at(server)) as house:
        call = house.forward(SPEECH, "m", "p")
        first = await anext(aiter(call))
        assert (first.data, first.head.content_type) == (b"one", "audio/mpeg")
        assert first.upstream.status == 200
        more.set()
        assert [message.data async for message in call] == [b"two", b""]


async def test_a_length_that_was_announced_is_passed_on() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "audio/mpeg", "content-length: 3")
        await exchange.send(b"one")

    async with upstream(play) as server, open_house(at(server)) as house:
        responses, _ = await house.pass_on(SPEECH, "m", "p")
    assert responses[0].head.content_length == 3


async def test_what_the_answer_took_comes_last() -> None:
    usage = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12, "input_tokens_details": {"image_tokens": 2}}
    async with upstream(answering({"data": [], "usage": usage})) as server, open_house(at(server)) as house:
        responses, _ = await house.pass_on(IMAGES, "m", "p")
    taken = responses[-1].usage
    assert (taken.input_tokens, taken.output_tokens, taken.input_image_tokens) == (3, 9, 2)


async def test_what_a_stream_took_is_found_wherever_its_bytes_were_cut() -> None:
    events = b'event: done\ndata: {"type": "done", "usage": {"input_tokens": 3, "output_tokens": 9}}\n\n'
    play = sending(*(events[i : i + 7] for i in range(0, len(events), 7)), kind="text/event-stream")
    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(SPEECH, "m", "p")
    assert error is None
    assert b"".join(response.data for response in responses) == events
    assert responses[-1].usage.output_tokens == 9


async def test_an_answer_that_does_not_say_what_it_took_has_no_usage() -> None:
    async with upstream(sending(b"x")) as server, open_house(at(server)) as house:
        responses, _ = await house.pass_on(SPEECH, "m", "p")
    assert not responses[-1].HasField("usage")


async def test_json_is_not_begun_before_it_is_whole() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "application/json")
        await exchange.chunk(b'{"data": [')
        exchange.cut()

    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(IMAGES, "m", "p")
    assert not responses
    assert error is not None
    assert error.reason is Reason.UPSTREAM_CUT


async def test_an_error_that_comes_as_an_answer_is_one() -> None:
    body = {"error": {"message": "overloaded", "type": "server_error"}}
    async with upstream(answering(body)) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(IMAGES, "m", "p")
    assert not responses
    assert error is not None
    assert (error.reason, error.message) == (Reason.UPSTREAM_FAILED, "overloaded")


@pytest.mark.parametrize("kind", ["audio/mpeg", "text/event-stream"])
async def test_a_stream_that_breaks_off_ends_with_an_error(kind: str) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", kind)
        await exchange.chunk(b"data: 1\n\n")
        exchange.cut()

    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(SPEECH, "m", "p")
    assert [response.data for response in responses] == [b"data: 1\n\n"]
    assert error is not None
    assert error.reason is Reason.UPSTREAM_CUT
    assert error.metadata["upstream_status"] == "200"


async def test_events_that_end_in_the_middle_of_one_have_broken_off() -> None:
    play = sending(b"data: 1\n\nda", kind="text/event-stream")
    async with upstream(play) as server, open_house(at(server)) as house:
        _, error = await house.pass_on(SPEECH, "m", "p")
    assert error is not None
    assert error.reason is Reason.UPSTREAM_CUT


async def test_an_error_among_events_ends_the_answer_and_is_told_once() -> None:
    play = sending(b"data: 1\n\n", b'data: {"error": {"message": "busy"}}\n\n', kind="text/event-stream")
    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(SPEECH, "m", "p")
    assert b"".join(response.data for response in responses) == b"data: 1\n\n"
    assert error is not None
    assert (error.reason, error.message) == (Reason.UPSTREAM_FAILED, "busy")


async def test_an_error_that_is_the_first_event_leaves_room_for_another_attempt() -> None:
    play = sending(b'event: error\ndata: {"error": {"message": "busy"}}\n\n', kind="text/event-stream")
    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(SPEECH, "m", "p")
    assert not responses
    assert error is not None
    assert error.message == "busy"


async def test_a_provider_that_only_says_it_is_alive_has_fallen_silent() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "text/event-stream")
        while True:
            await exchange.chunk(b": ping\n\n")
            await asyncio.sleep(0.01)

    async with upstream(play) as server, open_house(at(server)) as house:
        responses, error = await house.pass_on(SPEECH, "m", "p", first_token=0.15)
    assert not responses
    assert error is not None
    assert error.reason is Reason.UPSTREAM_SILENT


async def test_whoever_leaves_ends_the_call() -> None:
    gone = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "audio/mpeg")
        await exchange.chunk(b"one")
        await exchange.gone()
        gone.set()

    async with upstream(play) as server, open_house(at(server)) as house:
        call = house.forward(SPEECH, "m", "p")
        await anext(aiter(call))
        call.cancel()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_slow_reader_slows_the_provider_down() -> None:
    sent = 0

    async def play(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.head("200 OK", "audio/mpeg")
        for _ in range(4000):
            await exchange.chunk(b"x" * 65_536)
            sent += 1

    async with upstream(play) as server, open_house(at(server)) as house:
        call = house.forward(SPEECH, "m", "p")
        await anext(aiter(call))
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert sent < 400, "what has not been asked for is not read"
        call.cancel()


async def test_large_answers_travel_in_pieces() -> None:
    async with upstream(answering({"data": "x" * 600_000})) as server, open_house(at(server)) as house:
        responses, _ = await house.pass_on(IMAGES, "m", "p")
    assert [len(response.data) for response in responses] == [262_144, 262_144, 75_724, 0]
    assert responses[0].head.content_length == 600_012


async def test_a_provider_that_is_not_configured_is_told_of() -> None:
    async with open_house() as house:
        _, error = await house.pass_on(SPEECH, "m", "nobody")
    assert error is not None
    assert error.reason is Reason.PROVIDER_NOT_CONFIGURED


async def test_what_cannot_be_asked_is_refused(house: House) -> None:
    _, error = await house.pass_on(forwarding_pb2.ForwardedQuestion(json=b"{}"))
    assert error is not None
    assert error.reason is Reason.INVALID_REQUEST
    _, error = await house.pass_on(SPEECH, "")
    assert error is not None
    assert error.violations[0].field == "model"
