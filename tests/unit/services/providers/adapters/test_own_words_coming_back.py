"""What a provider said in its own words reaches it again, though its client speaks another dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.bootstrap import dialect_of
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

SAID: dict[str, Any] = {
    "anthropic": {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    "gemini": {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"},
    "openai_responses": {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    "cohere": {"type": "new", "new": {"a": 1}},
    "bedrock": {"new": {"a": 1}},
}
USER = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])


def asking(*parts: chat_pb2.ContentPart) -> chat_pb2.ChatRequest:
    answer = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content=parts)
    return chat_pb2.ChatRequest(messages=[USER, answer, USER], dialect="openai")


def wrapped(name: str) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(extra_json=json.dumps({name: SAID[name]}).encode())


def within(value: Any) -> list[Any]:
    """Every object in it."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(each for one in below for each in within(one))]


@pytest.mark.parametrize("name", SAID)
def test_a_part_of_its_own_kind_is_told_as_it_was_said(name: str) -> None:
    unsaid = Unsaid()
    body = dialect_of(name).encode_request(asking(wrapped(name), chat_pb2.ContentPart(text="Yes.")), "m", False, unsaid)
    assert SAID[name] in within(json.loads(body.body))
    assert unsaid.dropped == []


def test_a_picture_that_was_drawn_is_the_item_that_it_was() -> None:
    drawn = {"type": "image_generation_call", "id": "ig_1", "output_format": "png"}
    picture = chat_pb2.ContentPart(image=chat_pb2.ImagePart(data=b"png", media_type="image/png"))
    picture.extra_json = json.dumps({"openai_responses": drawn}).encode()
    body = dialect_of("openai_responses").encode_request(asking(picture), "m", False, Unsaid())
    assert json.loads(body.body)["input"][1] == {**drawn, "status": "completed", "result": "cG5n"}


@pytest.mark.parametrize("name", ["anthropic", "gemini", "openai_responses", "cohere", "bedrock"])
def test_a_part_of_a_kind_that_nobody_knows_is_refused(name: str) -> None:
    part = chat_pb2.ContentPart(extra_json=b'{"type": "input_hologram", "anthropic": 1}')
    with pytest.raises(TollwayError) as caught:
        dialect_of(name).encode_request(asking(part), "m", False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE


@pytest.mark.parametrize("name", ["anthropic", "gemini", "cohere", "bedrock"])
def test_what_openai_remarked_on_a_text_is_left_out_elsewhere(name: str) -> None:
    text = chat_pb2.ContentPart(text="Yes.", extra_json=b'{"openai_responses": {"item": {"phase": "final_answer"}}}')
    unsaid = Unsaid()
    body = dialect_of(name).encode_request(asking(text), "m", False, unsaid).body
    assert b"Yes." in body
    assert b"phase" not in body
    assert unsaid.dropped == ["chat.messages[1].content[0].openai_responses"]


@pytest.mark.parametrize("name", ["gemini", "openai_responses", "cohere", "bedrock", "openai"])
@pytest.mark.parametrize("client", ["", "openai_responses", "gemini"])
def test_a_part_that_claude_alone_knows_is_left_out_elsewhere_and_listed(name: str, client: str) -> None:
    searched = chat_pb2.ContentPart(extra_json=b'{"anthropic": {"type": "server_tool_use", "name": "web_search"}}')
    chat = asking(searched)
    chat.dialect = client
    unsaid = Unsaid()
    assert b"web_search" not in dialect_of(name).encode_request(chat, "m", False, unsaid).body
    assert unsaid.dropped == ["chat.messages[1].content[0].anthropic"]
