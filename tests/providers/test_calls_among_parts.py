"""A provider that gets back what it said gets it in the order in which it said it: thinking that led to a call stands
before that call, however the answer went to the client, and whatever the client did with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http import anthropic, openai_responses
from gateway_http.dialect import Answering, Identity
from services.providers.bootstrap import dialect_of
from services.providers.domain.sse import EventDecoder
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.whole import as_chunk
from tests.unit.gateway_http.anthropic.reading import put_together, stream
from tollway.chat.v1 import chat_pb2
from tollway.router.v1.router_pb2 import Receipt

Json = dict[str, Any]
WHO = Identity("req_1", "m", 0.0)
ORDERS = st.lists(st.sampled_from(["thinking", "text", "call"]), min_size=1, max_size=6)
HI: Json = {"role": "user", "content": "Hi"}


def item(kind: str, i: int) -> Json:
    """An item of a response that tells its number wherever it has words of its own."""
    if kind == "thinking":
        return {"type": "reasoning", "id": f"rs_{i}", "summary": [], "encrypted_content": f"enc{i}"}
    if kind == "text":
        part = {"type": "output_text", "text": f"text{i}", "annotations": [], "logprobs": []}
        return {"type": "message", "id": f"msg_{i}", "status": "completed", "role": "assistant", "content": [part]}
    call = {"call_id": f"call_{i}", "name": "f", "arguments": "{}", "status": "completed"}
    return {"type": "function_call", "id": f"fc_{i}", **call}


def named(items: Iterable[Json]) -> list[str]:
    """What each part of these items is, by its own words."""
    names: list[str] = []
    for each in items:
        if each["type"] == "message":
            content = each["content"]
            names += [content] if isinstance(content, str) else [part["text"] for part in content]
        else:
            proof = each.get("encrypted_content", "").rpartition(":")[2]  # its client sees it behind the id of its item
            names.append(proof or each["call_id"])
    return names


def response(items: list[Json]) -> Json:
    return {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": items}


def events(items: list[Json]) -> bytes:
    told: list[Json] = [{"type": "response.created", "response": response([])}]
    for i, each in enumerate(items):
        told.append({"type": "response.output_item.added", "output_index": i, "item": each})
        told.append({"type": "response.output_item.done", "output_index": i, "item": each})
    told.append({"type": "response.completed", "response": response(items)})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in told)


def responses_client() -> Answering:
    return openai_responses.decode({"model": "m", "input": [dict(HI)]}, 10).answering


def streamed(chunks: Iterable[chat_pb2.ChatChunk]) -> list[Json]:
    writer = responses_client().stream(WHO)
    sent = b"".join(map(writer.encode, chunks)) + writer.finish(Receipt(), "")
    return [json.loads(data) for _, data in EventDecoder(1 << 20).feed(sent)]


def sent_back(output: list[Json]) -> list[Json]:
    """What the provider is asked next, when the client sends the answer back."""
    asked = openai_responses.decode({"model": "m", "input": [dict(HI), *output]}, 100).request.chat
    body = dialect_of("openai_responses").encode_request(asked, "m", False, Unsaid()).body
    items: list[Json] = json.loads(body)["input"][1:]
    return items


@settings(max_examples=40, deadline=None)
@given(ORDERS)
def test_a_response_goes_to_the_client_and_back_in_its_order(kinds: list[str]) -> None:
    said = [item(kind, i) for i, kind in enumerate(kinds)]
    whole = dialect_of("openai_responses").decode_response(json.dumps(response(said)).encode())
    decoder = dialect_of("openai_responses").stream_decoder(1, 1 << 20)

    answers = [json.loads(responses_client().whole(whole, WHO))["output"]]
    for chunks in (decoder.feed(events(said)), [as_chunk(whole)]):
        told = streamed(chunks)
        answers.append(told[-1]["response"]["output"])
        answers.append([event["item"] for event in told if event["type"] == "response.output_item.done"])

    for answer in answers:
        assert named(answer) == named(said)
        assert named(sent_back(json.loads(json.dumps(answer)))) == named(said)


def block(kind: str, i: int) -> Json:
    if kind == "thinking":
        return {"type": "thinking", "thinking": f"Hm {i}.", "signature": f"sig{i}"}
    if kind == "text":
        return {"type": "text", "text": f"text{i}"}
    return {"type": "tool_use", "id": f"toolu_{i}", "name": "f", "input": {}}


@settings(max_examples=40, deadline=None)
@given(ORDERS)
def test_blocks_of_anthropic_go_to_the_client_and_back_in_their_order(kinds: list[str]) -> None:
    said = [block(kind, i) for i, kind in enumerate(kinds)]
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": said,
        "stop_reason": "end_turn",
    }
    question: Json = {"model": "m", "max_tokens": 9, "messages": [dict(HI)]}

    whole = dialect_of("anthropic").decode_response(json.dumps(answer).encode())
    told = json.loads(anthropic.decode(dict(question), 10).answering.whole(whole, WHO))["content"]
    assert told == said
    assert put_together(stream([as_chunk(whole)]))["content"] == said

    turns = [dict(HI), {"role": "assistant", "content": told}]
    asked = anthropic.decode({**question, "messages": turns}, 10).request.chat
    body = json.loads(dialect_of("anthropic").encode_request(asked, "m", False, Unsaid()).body)
    back = body["messages"][1]["content"]
    assert back == (said[0]["text"] if kinds == ["text"] else said)
