"""Every dialect in, every dialect out: what one provider was asked can be put to all, and all clients can be told what
one of them answered.

What is said is compared by its words: a client that joins what it is told has the answer's text and the arguments of
its calls, whole or streamed, whoever answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gateway_http import anthropic, openai_chat, openai_responses
from gateway_http.dialect import Answering, Identity
from mesh.errors import Reason, TollwayError
from services.providers.bootstrap import dialect_of
from services.providers.domain.sse import EventDecoder
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from services.providers.ports import Dialect
from tests.providers.test_fixtures import CASES, Json, load, named, read_request, streamed, upstream_body
from tollway.chat.v1 import chat_pb2
from tollway.router.v1.router_pb2 import Receipt

WHO = Identity("req_1", "m", 0.0)
ADAPTERS = ("openai", "openai_responses", "anthropic", "gemini", "bedrock", "cohere")
ANSWERED = [
    case
    for case in CASES
    if "error" not in load(case / "expected.json") and int(load(case / "request.json").get("choice_count", 1)) == 1
]
"""Only chat completions have room for several answers."""
HI = {"role": "user", "content": "Hi"}
CLIENTS: dict[str, Answering] = {
    "openai": openai_chat.decode({"model": "m", "messages": [dict(HI)]}, 10).answering,
    "openai_responses": openai_responses.decode({"model": "m", "input": [dict(HI)]}, 10).answering,
    "anthropic": anthropic.decode({"model": "m", "max_tokens": 9, "messages": [dict(HI)]}, 10).answering,
}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_what_was_asked_of_one_can_be_put_to_all(case: Path) -> None:
    for adapter in ADAPTERS:
        unsaid = Unsaid(allowed=True)
        put = put_to(dialect_of(adapter), case, unsaid)
        assert all(path.startswith("chat.") for path in unsaid.dropped), adapter
        if isinstance(put, TollwayError):  # nothing that may be left out: the question is wrong, and that says where
            assert put.reason is Reason.INVALID_REQUEST, adapter
            assert put.violations, adapter
        else:
            assert isinstance(json.loads(put.body), dict), adapter


def put_to(dialect: Dialect, case: Path, unsaid: Unsaid) -> Encoded | TollwayError:
    try:
        return dialect.encode_request(read_request(case / "request.json"), "the-model", streamed(case), unsaid)
    except TollwayError as error:
        return error


@pytest.mark.parametrize("case", ANSWERED, ids=named)
def test_what_one_answered_can_be_told_to_all(case: Path) -> None:
    tell = told_in_pieces if streamed(case) else told_whole
    for client in CLIENTS:
        tell(case, client)


def told_whole(case: Path, client: str) -> None:
    response = dialect_of(case.parent.name).decode_response(upstream_body(case))
    words = words_of(response.choices[0].message)
    written = json.dumps(json.loads(CLIENTS[client].whole(response, WHO)), ensure_ascii=False)
    assert all(in_json(each) in written for each in words), client


def told_in_pieces(case: Path, client: str) -> None:
    chat = read_request(case / "request.json")
    decoder = dialect_of(case.parent.name).stream_decoder(chat.choice_count or 1, 1 << 20)
    writer = CLIENTS[client].stream(WHO)
    chunks = decoder.feed(upstream_body(case))
    sent = b"".join(map(writer.encode, chunks)) + writer.finish(Receipt(), "")
    deltas = [delta for chunk in chunks for delta in chunk.deltas]
    # Anthropic has no refusals: they are said as text.
    said = "".join(delta.text + (delta.refusal if client == "anthropic" else "") for delta in deltas)
    called = "".join(call.arguments for delta in deltas for call in delta.tool_calls)
    events = [json.loads(data) for _, data in EventDecoder(1 << 20).feed(sent) if data != b"[DONE]"]
    assert HEARD[client](events) == (said, called), client


def words_of(message: chat_pb2.Message) -> list[str]:
    """What every client has to be told, whatever else there is."""
    said = [part.text or part.refusal for part in message.content]
    return [text for text in (*said, *(call.name for call in message.tool_calls)) if text]


def in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def heard_in_chat(events: Iterable[Json]) -> tuple[str, str]:
    deltas = [choice["delta"] for event in events for choice in event.get("choices", ())]
    texts = [text for delta in deltas if isinstance(text := delta.get("content"), str)]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    called = [call.get("function", {}).get("arguments") or call.get("custom", {}).get("input") for call in calls]
    return "".join(texts), "".join(filter(None, called))


def heard_in_responses(events: Iterable[Json]) -> tuple[str, str]:
    text = joined_deltas(events, "response.output_text.delta")
    called = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
    return text, joined_deltas(events, *called)


def joined_deltas(events: Iterable[Json], *kinds: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] in kinds)


def heard_in_messages(events: Iterable[Json]) -> tuple[str, str]:
    deltas: list[Json] = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(d.get("text", "") for d in deltas), "".join(d.get("partial_json", "") for d in deltas)


HEARD: dict[str, Callable[[Iterable[Json]], tuple[str, str]]] = {
    "openai": heard_in_chat,
    "openai_responses": heard_in_responses,
    "anthropic": heard_in_messages,
}
