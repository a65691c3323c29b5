from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from mesh.errors import Reason, TollwayError, invalid
from tests.unit.gateway_http.conftest import in_one_process
from tests.unit.gateway_http.edge import QUESTION, Edge, events
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, last, pieces, receipt
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1 import router_pb2 as rpc

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


async def test_the_openai_sdk_reads_a_whole_answer(edge: Edge) -> None:
    answer = await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES, temperature=0.5)

    assert answer.choices[0].message.content == "Hello!"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 3, 12)
    (request,) = edge.router.requests
    assert (request.chat.model, request.chat.sampling.temperature) == ("gpt-4o", 0.5)
    assert request.request_id == answer._request_id


async def test_the_headers_of_an_answer_say_how_it_came_about(edge: Edge) -> None:
    reply = await edge.post()

    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"] == edge.router.requests[0].request_id
    assert reply.headers["x-tollway-trace-id"] == edge.tracer.spans[0].context.trace_id
    assert reply.headers["x-tollway-deployment"] == DEPLOYMENT
    assert reply.headers["x-tollway-attempts"] == "1"
    assert reply.headers["x-tollway-cost-usd"] == "0.00072"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_whatever_was_left_out_of_the_question(edge: Edge, *, stream: bool) -> None:
    dropped = ["chat.metadata.foo\nbar", *(f"chat.messages[{place}].content[0]" for place in range(400))]
    edge.router.completion.receipt.dropped.extend(dropped)  # type: ignore[union-attr]
    first, *others = pieces("Hel", "lo!")
    for message in (first, others[-1]):
        message.receipt.dropped.extend(dropped)
    edge.router.messages = [first, *others]

    reply = await edge.post({**QUESTION, "stream": stream})

    assert reply.status == 200
    listed = reply.headers["x-tollway-dropped"].split(", ")
    assert listed[:2] == ["chat.metadata.foo%0Abar", "chat.messages[0].content[0]"]
    assert listed[-1] == f"and {len(dropped) - len(listed) + 1} more"
    if stream:
        assert events(reply.body)[-2]["tollway"]["dropped"] == dropped


async def test_an_unknown_cost_is_left_out_rather_than_zero(edge: Edge) -> None:
    edge.router.completion = rpc.CreateChatCompletionResponse(receipt=receipt())

    assert "x-tollway-cost-usd" not in (await edge.post()).headers


async def test_the_openai_sdk_reads_a_stream(edge: Edge) -> None:
    edge.router.messages = pieces("Hel", "lo", "!")

    stream = await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello!"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-1"}
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_is_shown_at_the_end_of_a_stream_that_asks_for_it(edge: Edge) -> None:
    stream = await edge.openai().chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 12


async def test_a_stream_ends_with_how_it_came_about_and_the_end_mark(edge: Edge) -> None:
    reply = await edge.post({**QUESTION, "stream": True})
    *chunks, last_chunk, mark = events(reply.body)

    assert mark == "[DONE]"
    assert last_chunk["choices"][0]["finish_reason"] == "stop"
    assert last_chunk["tollway"] == {
        "cost_usd": 0.00072,
        "attempts": 1,
        "deployment": DEPLOYMENT,
        "trace_id": reply.headers["x-tollway-trace-id"],
    }
    assert all("tollway" not in chunk for chunk in chunks)


async def test_a_stream_has_the_headers_of_server_sent_events(edge: Edge) -> None:
    headers = (await edge.post({**QUESTION, "stream": True})).headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-tollway-deployment"] == DEPLOYMENT
    assert headers["x-tollway-attempts"] == "1"
    assert "x-tollway-cost-usd" not in headers


async def test_no_status_is_sent_before_the_first_content(edge: Edge) -> None:
    first_content = asyncio.Event()
    edge.router.messages = [first_content, *pieces("Hello!")]

    async with edge.socket() as client:
        client.send_request(b'{"model": "m", "messages": [{"role": "user"}], "stream": true}')
        await edge.router.reached.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        first_content.set()
        assert (await client.reply()).status == 200


async def test_what_a_router_message_brings_is_not_kept_back(edge: Edge) -> None:
    rest = asyncio.Event()
    first, *others = pieces("Hel", "lo!")
    edge.router.messages = [first, rest, *others]

    async with edge.socket() as client:
        client.send_request(b'{"model": "m", "messages": [{"role": "user"}], "stream": true}')
        assert b'"content":"Hel"' in await client.reader.readuntil(b'"Hel"')
        rest.set()
        assert b"[DONE]" in await client.reader.readuntil(b"[DONE]")


@pytest.mark.parametrize("open_edge", [in_one_process], indirect=True)
@pytest.mark.parametrize("ending", [[], [TollwayError(Reason.UPSTREAM_CUT, "it broke off")]])
async def test_what_is_here_together_is_written_together(edge: Edge, ending: list[TollwayError]) -> None:
    *begun, finish = pieces("Hel", "lo", "!")
    edge.router.messages = [*begun, *ending] if ending else [*begun, finish]

    async with edge.socket() as client:
        client.send_request(b'{"model": "m", "messages": [{"role": "user"}], "stream": true}')
        await client.reader.readuntil(b"\r\n\r\n")
        size = int(await client.reader.readline(), 16)
        written = await client.reader.readexactly(size)
        assert await client.reader.readexactly(7) == b"\r\n0\r\n\r\n"
    said = [event for event in events(written) if event != "[DONE]"]
    texts = [choice["delta"].get("content", "") for event in said for choice in event.get("choices", ())]
    assert "".join(texts) == "Hello!"
    assert ("error" in said[-1], written.endswith(b"data: [DONE]\n\n")) == (bool(ending), not ending)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        (Reason.MODEL_NOT_FOUND, openai.NotFoundError, "model_not_found"),
        (Reason.INVALID_REQUEST, openai.BadRequestError, None),
        (Reason.RATE_LIMITED, openai.RateLimitError, "rate_limit_exceeded"),
        (Reason.BUDGET_EXCEEDED, openai.RateLimitError, "budget_exceeded"),
        (Reason.UNAUTHENTICATED, openai.AuthenticationError, "invalid_api_key"),
        (Reason.PERMISSION_DENIED, openai.PermissionDeniedError, "permission_denied"),
        (Reason.UPSTREAM_FAILED, openai.InternalServerError, "upstream_failed"),
        (Reason.DEADLINE_EXCEEDED, openai.InternalServerError, "deadline_exceeded"),
    ],
)
async def test_the_openai_sdk_raises_the_class_that_fits_the_error(
    edge: Edge, stream: bool, reason: Reason, kind: type[openai.APIStatusError], code: str | None
) -> None:
    edge.router.completion = TollwayError(reason, "no such luck")
    edge.router.messages = [edge.router.completion]

    with pytest.raises(kind) as raised:
        await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=stream)

    assert raised.value.code == code
    assert raised.value.type == edge.router.completion.row.openai_type
    assert "no such luck" in raised.value.message
    assert raised.value.request_id == edge.router.requests[0].request_id


@pytest.mark.parametrize(("reason", "asked"), [(Reason.RATE_LIMITED, 3), (Reason.BUDGET_EXCEEDED, 1)])
async def test_the_openai_sdk_repeats_what_may_be_repeated_and_nothing_else(
    edge: Edge, reason: Reason, asked: int
) -> None:
    edge.router.completion = TollwayError(reason, "not now", retry_after=0.01)

    with pytest.raises(openai.RateLimitError):
        await edge.openai(max_retries=2).chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert len(edge.router.requests) == asked


async def test_an_error_names_the_field_that_the_router_found_at_fault(edge: Edge) -> None:
    edge.router.completion = invalid("chat.messages[0].content", "is empty")

    with pytest.raises(openai.BadRequestError) as raised:
        await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert raised.value.param == "chat.messages[0].content"


async def test_an_error_after_content_is_one_event_and_no_end_mark(edge: Edge) -> None:
    edge.router.messages = [*pieces("Hel", "lo")[:2], TollwayError(Reason.UPSTREAM_CUT, "the provider hung up")]

    reply = await edge.post({**QUESTION, "stream": True})
    *chunks, error = events(reply.body)

    assert reply.status == 200
    assert error == {
        "error": {
            "message": "the provider hung up",
            "type": "server_error",
            "param": None,
            "code": "upstream_cut",
            "trace_id": reply.headers["x-tollway-trace-id"],
        }
    }
    assert all("error" not in chunk and "tollway" not in chunk for chunk in chunks)


async def test_the_openai_sdk_raises_an_error_in_a_stream(edge: Edge) -> None:
    edge.router.messages = [pieces("Hel")[0], TollwayError(Reason.UPSTREAM_CUT, "the provider hung up")]
    stream = await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    seen = [(await anext(stream)).choices[0].delta.content for _ in range(2)]

    with pytest.raises(openai.APIError, match="the provider hung up") as raised:
        await anext(stream)

    assert raised.value.code == "upstream_cut"
    assert seen == ["", "Hel"]


async def test_a_stream_without_a_finish_reason_is_never_reported_as_finished(edge: Edge) -> None:
    edge.router.messages = pieces("Hel", "lo")[:-1]

    *_, error = events((await edge.post({**QUESTION, "stream": True})).body)

    assert error["error"]["code"] == "upstream_cut"


async def test_a_stream_that_never_begins_is_an_error(edge: Edge) -> None:
    edge.router.messages = []

    reply = await edge.post({**QUESTION, "stream": True})

    assert (reply.status, reply.error["type"]) == (500, "server_error")


async def test_tool_calls_are_streamed_piece_by_piece(edge: Edge) -> None:
    call = pb.ToolCallDelta(id="call_1", type="function", name="get_weather")
    deltas = [
        pb.Delta(role=pb.ROLE_ASSISTANT, tool_calls=[call]),
        pb.Delta(tool_calls=[pb.ToolCallDelta(arguments='{"city"')]),
        pb.Delta(tool_calls=[pb.ToolCallDelta(arguments=': "Oslo"}')]),
    ]
    end = last()
    end.chunk.deltas[0].finish_reason = pb.FINISH_REASON_TOOL_CALLS
    edge.router.messages = [
        *(rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[delta])) for delta in deltas),
        end,
    ]

    async with edge.openai().chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        completion = await stream.get_final_completion()

    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.content is None
    (tool_call,) = completion.choices[0].message.tool_calls or []
    assert tool_call.function.name == "get_weather"
    assert tool_call.function.arguments == '{"city": "Oslo"}'


async def test_a_client_of_http_1_0_has_its_stream_ended_by_the_connection(edge: Edge) -> None:
    body = b'{"model": "m", "messages": [{"role": "user"}], "stream": true}'
    async with edge.socket() as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        head, _, stream = (await client.reader.read(-1)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.0 200 OK")
    assert b"chunked" not in head.lower()
    assert events(stream)[-1] == "[DONE]"


async def test_several_choices_are_told_apart_in_a_stream(edge: Edge) -> None:
    stop = pb.FINISH_REASON_STOP
    chunk = pb.ChatChunk(
        id="c",
        deltas=[
            pb.Delta(index=0, text="a"),
            pb.Delta(index=1, text="x"),
            pb.Delta(index=0, text="b", finish_reason=stop),
            pb.Delta(index=1, text="y"),
            pb.Delta(index=1, finish_reason=stop),
        ],
    )
    edge.router.messages = [rpc.StreamChatCompletionResponse(chunk=chunk, receipt=receipt())]
    texts = {0: "", 1: ""}

    async for event in await edge.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, n=2):
        for choice in event.choices:
            texts[choice.index] += choice.delta.content or ""

    assert texts == {0: "ab", 1: "xy"}
    assert edge.router.requests[0].chat.choice_count == 2


async def test_the_caller_s_timeout_is_the_deadline_of_the_call(edge: Edge) -> None:
    await edge.post(headers={"x-tollway-timeout": "20s"})

    assert edge.router.time_remaining is not None
    assert 15 < edge.router.time_remaining < 25  # the wire rounds it


async def test_without_one_the_router_decides_how_long_a_call_may_take(edge: Edge) -> None:
    await edge.post(headers={"x-stainless-read-timeout": "5"})

    assert edge.router.time_remaining is None


async def test_a_deadline_that_passes_is_a_504(edge: Edge) -> None:
    edge.router.completion = asyncio.Event()

    reply = await edge.post(headers={"x-tollway-timeout": "50ms"})

    assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")


async def test_labels_for_spend_go_to_the_router(edge: Edge) -> None:
    await edge.post(headers={"x-tollway-tags": "nightly, team:search"})

    assert edge.router.requests[0].tags == ["nightly", "team:search"]


async def test_authorization_and_the_place_in_the_trace_go_to_the_router(edge: Edge) -> None:
    await edge.post(headers={"authorization": "Bearer sk-test"})

    (metadata,) = edge.router.metadata
    assert metadata["authorization"] == "Bearer sk-test"
    assert metadata["traceparent"] == edge.tracer.spans[0].context.traceparent


async def test_a_slow_reader_slows_the_router_down(edge: Edge) -> None:
    megabyte = rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[pb.Delta(text="x" * 2**20)]))
    sent = 0

    def endless() -> Iterator[rpc.StreamChatCompletionResponse]:
        nonlocal sent
        while True:
            sent += 1
            yield megabyte

    edge.router.messages = endless()
    async with edge.socket() as client:
        client.send_request(b'{"model": "m", "messages": [{"role": "user"}], "stream": true}')
        await edge.router.reached.wait()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)

    assert sent < 100


async def test_a_caller_may_want_its_answer_whole_or_not_at_all(edge: Edge) -> None:
    await edge.post(headers={"x-tollway-assured": "1"})
    await edge.post()

    first, second = edge.router.requests
    assert first.preferences.assured
    assert not second.preferences.HasField("assured")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_router_is_told_the_key_and_what_the_cache_may_do(edge: Edge, stream: bool) -> None:
    await edge.post({**QUESTION, "stream": stream}, headers={"idempotency-key": "k-1", "x-tollway-cache": "refresh"})
    (request,) = edge.router.requests
    assert request.preferences == rpc.Preferences(idempotency_key="k-1", cache=rpc.CacheMode.CACHE_MODE_REFRESH)


async def test_a_key_that_cannot_be_one_is_refused(edge: Edge) -> None:
    reply = await edge.post(headers={"idempotency-key": "x" * 256})
    assert (reply.status, reply.error["param"]) == (400, "idempotency-key")
    assert edge.router.requests == []


async def test_an_answer_that_is_given_again_is_called_what_it_was_called_before(edge: Edge) -> None:
    edge.router.completion = rpc.CreateChatCompletionResponse(receipt=rpc.Receipt(request_id="req-1", replayed=True))
    reply = await edge.post()
    assert reply.json["id"] == "chatcmpl-req-1"
    assert reply.headers["x-tollway-replayed"] == "1"
    again = rpc.Receipt(request_id="req-1", replayed=True)
    end = last()
    end.receipt.CopyFrom(again)
    edge.router.messages = [
        rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[pb.Delta(text="Hi")]), receipt=again), end,
    ]  # fmt: skip
    stream = await edge.post({**QUESTION, "stream": True})
    assert {chunk["id"] for chunk in events(stream.body)[:-1]} == {"chatcmpl-req-1"}
    assert stream.headers["x-tollway-replayed"] == "1"
    assert events(stream.body)[-2]["tollway"]["replayed"] is True


async def test_a_conflict_is_409_and_not_to_be_tried_again(edge: Edge) -> None:
    edge.router.completion = TollwayError(Reason.IDEMPOTENCY_CONFLICT, "used before", {"replayed": "1"})
    reply = await edge.post(headers={"idempotency-key": "k"})
    assert (reply.status, reply.error["code"]) == (409, "idempotency_conflict")
    assert (reply.headers["x-should-retry"], reply.headers["x-tollway-replayed"]) == ("false", "1")
