"""What is no conversation, with the official OpenAI SDK, unmodified, against the real thing in every topology."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import openai
import pytest
from openai import OpenAI

from tests.e2e.processes import Mesh, one_process
from tests.unit.services.providers.upstream import Exchange, upstream
from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from tollway.router.v1 import router_pb2, router_pb2_grpc

SOUND = b"RIFF" + bytes(range(256)) * 400


@pytest.fixture
def client(mesh: Mesh) -> Iterator[OpenAI]:
    with OpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def booked(mesh: Mesh, request_id: str, count: int = 1) -> list[ledger_pb2.Attempt]:
    """The rows of a request, once there are so many."""
    query = ledger_pb2.ListUsageRequest(filter=ledger_pb2.UsageFilter(request_id=request_id))
    end = time.monotonic() + 20
    with grpc.insecure_channel(mesh.ledger) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        while time.monotonic() < end:
            rows = [row for row in stub.ListUsage(query).attempts if row.state == ledger_pb2.ATTEMPT_STATE_SETTLED]
            if len(rows) >= count:
                return rows
            time.sleep(0.05)
    raise AssertionError("nothing was booked")


def test_vectors_are_the_same_in_both_formats_and_say_what_they_cost(client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="sim", input=["Hello there", "fox"], dimensions=16)
    coded = raw.parse()
    plain = client.embeddings.create(model="sim", input=["Hello there", "fox"], dimensions=16, encoding_format="float")
    for one, other in zip(coded.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, rel=1e-6)
        assert len(one.embedding) == 16
    assert coded.usage.total_tokens == 3
    assert raw.headers["x-tollway-deployment"] == "sim/sim"
    assert float(raw.headers["x-tollway-cost-usd"]) > 0


def test_the_sdk_finds_nothing_wrong_where_it_validates_strictly(mesh: Mesh) -> None:
    """Vectors in base64 aside, which it validates before it unpacks them, and finds that they are no numbers."""
    with OpenAI(base_url=mesh.base_url, api_key="none", _strict_response_validation=True) as client:
        client.embeddings.create(model="sim", input="Hello", encoding_format="float")
        client.images.generate(model="sim", prompt="a cat")
        assert list(client.images.generate(model="sim", prompt="a cat", stream=True, partial_images=1))
        client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND))
        client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND), response_format="verbose_json")
        assert list(client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND), stream=True))
        client.moderations.create(model="sim", input=["a cat"])


def test_vectors_are_booked_once(client: OpenAI, mesh: Mesh) -> None:
    raw = client.embeddings.with_raw_response.create(model="sim", input=[[1, 2, 3], [4]])
    (row,) = booked(mesh, raw.headers["x-request-id"])
    assert (row.usage.input_tokens, row.usage.output_tokens) == (4, 0)
    assert row.status == ledger_pb2.ATTEMPT_STATUS_OK


def test_a_failure_before_the_answer_is_invisible(client: OpenAI, mesh: Mesh) -> None:
    model = f"sim/flaky:fail=1,key={mesh.topology.replace(' ', '-')}-vectors"
    raw = client.embeddings.with_raw_response.create(model=model, input="Hello")
    assert raw.headers["x-tollway-attempts"] == "2"
    statuses = {row.status for row in booked(mesh, raw.headers["x-request-id"], 2)}
    assert statuses == {ledger_pb2.ATTEMPT_STATUS_OK, ledger_pb2.ATTEMPT_STATUS_FAILED}


def test_pictures_are_made_and_metered(client: OpenAI, mesh: Mesh) -> None:
    raw = client.images.with_raw_response.generate(model="sim", prompt="a cat", n=2)
    pictures = raw.parse()
    assert pictures.data is not None
    assert len(pictures.data) == 2
    assert pictures.usage is not None
    assert float(raw.headers["x-tollway-cost-usd"]) > 0
    (row,) = booked(mesh, raw.headers["x-request-id"])
    assert row.usage.output_tokens == pictures.usage.output_tokens == 200


def test_pictures_come_as_events_and_are_metered_by_the_last(client: OpenAI, mesh: Mesh) -> None:
    with client.images.with_streaming_response.generate(
        model="sim", prompt="a cat", stream=True, partial_images=2
    ) as raw:
        kinds = [event.type for event in raw.parse()]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    (row,) = booked(mesh, raw.headers["x-request-id"])
    assert row.usage.output_tokens == 100


def test_speech_is_a_sound(client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(model="sim", voice="alloy", input="Hello there") as raw:
        assert raw.headers["content-type"] == "audio/wav"
        assert raw.read().startswith(b"RIFF")


def test_words_are_made_of_a_sound_whole_and_as_events(client: OpenAI) -> None:
    whole = client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND))
    stream = client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND), stream=True)
    events: list[Any] = list(stream)
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == whole.text
    text = client.audio.transcriptions.create(model="sim", file=("a.wav", SOUND), response_format="text")
    assert str(text).strip() == whole.text


def test_moderations_flag_what_they_should_and_say_nothing_of_tokens(client: OpenAI, mesh: Mesh) -> None:
    raw = client.moderations.with_raw_response.create(model="sim", input=["means harm", "a cat"])
    assert [each.flagged for each in raw.parse().results] == [True, False]
    (row,) = booked(mesh, raw.headers["x-request-id"])
    assert not row.HasField("usage")
    assert row.provenance == ledger_pb2.PROVENANCE_UNSETTLED


def test_documents_are_put_in_order_and_search_units_kept(mesh: Mesh) -> None:
    question = {"model": "sim", "query": "blue sky", "documents": ["red", "the sky is blue"]}
    answer = httpx2.post(f"{mesh.base_url}/rerank", json=question)
    assert [each["index"] for each in answer.json()["results"]] == [1, 0]
    (row,) = booked(mesh, answer.headers["x-request-id"])
    assert b"search_units" in row.usage.extra_json


def test_tokens_are_counted(mesh: Mesh) -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="x" * 40)])
    chat = chat_pb2.ChatRequest(model="sim", messages=[message])
    with grpc.insecure_channel(mesh.grpc) as channel:
        counted = router_pb2_grpc.RouterServiceStub(channel).CountTokens(router_pb2.CountTokensRequest(chat=chat))
    assert counted.input_tokens > 0
    assert counted.deployment == "sim/sim"


@pytest.mark.parametrize("model", ["sim/cut:after=3", "sim/cut:after=4"])
def test_sound_that_breaks_off_never_looks_finished(mesh: Mesh, model: str) -> None:
    with pytest.raises(httpx2.TransportError):
        httpx2.post(f"{mesh.base_url}/audio/speech", json={"model": model, "voice": "a", "input": "Hello there"})


def test_events_that_break_off_end_with_an_error(client: OpenAI) -> None:
    stream = client.audio.transcriptions.create(model="sim/cut:key=events", file=("a.wav", SOUND), stream=True)
    seen: list[str] = []
    with pytest.raises((openai.APIError, ValueError)):
        seen.extend(event.type for event in stream)
    assert "transcript.text.done" not in seen


async def test_a_client_that_leaves_ends_the_provider_s_call_at_once(tmp_path: Path) -> None:
    """Through everything, and the best of some tries: others want this machine's time, too."""
    gone: asyncio.Queue[float] = asyncio.Queue()

    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", "audio/mpeg")
        await exchange.chunk(b"RIFF")
        await exchange.gone()
        gone.put_nowait(time.monotonic())

    async with upstream(play) as provider:
        config = tmp_path / "tollway.yaml"
        config.write_text(f"providers: {{p: {{base_url: '{provider.url}', api_key: none}}}}\n")
        mesh = one_process(tmp_path, config)
        try:
            await asyncio.to_thread(mesh.wait_until_ready)
            took = [await left(mesh, gone) for _ in range(5)]
        finally:
            await asyncio.to_thread(mesh.stop)
    assert min(took) < 0.1, took


async def left(mesh: Mesh, gone: asyncio.Queue[float]) -> float:
    """Seconds from a client's leaving until its provider has been left."""
    question = {"model": "p/tts", "voice": "a", "input": "Hello"}
    async with httpx2.AsyncClient() as client:
        async with client.stream("POST", f"{mesh.base_url}/audio/speech", json=question) as response:
            await anext(response.aiter_bytes())
            began = time.monotonic()
        return await asyncio.wait_for(gone.get(), 10) - began


def test_a_provider_s_error_is_told_in_openai_s_shape(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="sim", prompt="a cat", n=99)
    assert "'n' must be" in refused.value.message
