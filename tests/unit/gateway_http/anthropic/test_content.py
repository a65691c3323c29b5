from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http.anthropic.content import read_block, read_blocks
from gateway_http.field_reading import Wrong
from tollway.chat.v1 import chat_pb2 as pb

PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}


def block(**fields: Any) -> pb.ContentPart:
    part = pb.ContentPart()
    read_block(part, fields)
    return part


def refused(**fields: Any) -> tuple[str, str]:
    with pytest.raises(Wrong) as raised:
        block(**fields)
    error = raised.value.as_error()
    return error.violations[0].field, error.violations[0].description


def test_a_text_keeps_what_stands_beside_it() -> None:
    part = block(type="text", text="Hi", cache_control={"type": "ephemeral"}, new=1)

    assert (part.text, part.HasField("cache_control"), part.cache_control.lifetime) == ("Hi", True, "")
    assert json.loads(part.extra_json) == {"new": 1}


def test_an_empty_text_is_still_a_text() -> None:
    assert block(type="text", text="").WhichOneof("part") == "text"


@pytest.mark.parametrize(
    ("control", "kept"),
    [
        ({"type": "ephemeral", "ttl": "1h", "scope": "global"}, {"scope": "global"}),
        ({"type": "persistent"}, {"type": "persistent"}),
    ],
)
def test_what_a_cache_control_says_beyond_its_lifetime_is_kept(control: Any, kept: Any) -> None:
    part = block(type="text", text="Hi", cache_control=control)

    assert json.loads(part.extra_json) == {"cache_control": kept}
    assert part.cache_control.lifetime == control.get("ttl", "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {"type": "base64", "media_type": "image/png", "data": "AAE="},
            pb.ImagePart(data=b"\0\1", media_type="image/png"),
        ),
        ({"type": "url", "url": "https://a.example/b.png"}, pb.ImagePart(url="https://a.example/b.png")),
        ({"type": "file", "file_id": "file_1"}, pb.ImagePart(file_id="file_1")),
    ],
)  # fmt: skip
def test_a_picture_is_bytes_or_an_address_or_a_handle(source: Any, expected: pb.ImagePart) -> None:
    part = block(type="image", source={**source, "new": 1}, cache_control={"type": "ephemeral", "ttl": "5m"})

    assert part.image == expected
    assert part.cache_control.lifetime == "5m"
    assert json.loads(part.extra_json) == {"source": {"new": 1}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PDF, pb.FilePart(data=b"%PDF", media_type="application/pdf")),
        ({"type": "text", "media_type": "text/plain", "data": "Grüße"},
         pb.FilePart(data="Grüße".encode(), media_type="text/plain")),
        ({"type": "url", "url": "https://a.example/b.pdf"},
         pb.FilePart(url="https://a.example/b.pdf", media_type="application/pdf")),
        ({"type": "file", "file_id": "file_1"}, pb.FilePart(file_id="file_1")),
    ],
)  # fmt: skip
def test_a_document_is_bytes_or_text_or_an_address_or_a_handle(source: Any, expected: pb.FilePart) -> None:
    part = block(type="document", source=source, title="A", context="c", citations={"enabled": True})

    expected.filename = "A"
    assert part.file == expected
    assert json.loads(part.extra_json) == {"context": "c", "citations": {"enabled": True}}


@pytest.mark.parametrize(
    "whole",
    [
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}, "title": "A"},
        {"type": "image", "source": {"type": "new", "data": "x"}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "a"}]},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "container_upload", "file_id": "f"},
    ],
)
def test_what_has_no_other_form_travels_whole(whole: dict[str, Any]) -> None:
    part = block(**whole)

    assert part.WhichOneof("part") is None
    assert json.loads(part.extra_json) == whole


def test_thinking_keeps_its_proof_and_whose_it_is() -> None:
    own = block(type="thinking", thinking="Hm.", signature="c2ln")
    other = block(type="thinking", thinking="", signature="tollway:gemini:c2ln")
    unproven = block(type="thinking", thinking="Hm.", signature="", openai={"x": 1})

    assert own.reasoning == pb.ReasoningPart(text="Hm.", signature="c2ln", issuer="anthropic")
    assert other.reasoning == pb.ReasoningPart(signature="c2ln", issuer="gemini")
    assert unproven.reasoning == pb.ReasoningPart(text="Hm.")
    assert not unproven.extra_json


def test_an_empty_thought_is_still_one() -> None:
    assert block(type="thinking", thinking="").WhichOneof("part") == "reasoning"


def test_sealed_thinking_keeps_whose_it_is() -> None:
    own, other = (
        block(type="redacted_thinking", data="EmwK"),
        block(type="redacted_thinking", data="tollway:openai:gAAA"),
    )

    assert own.reasoning == pb.ReasoningPart(redacted=b"EmwK", issuer="anthropic")
    assert other.reasoning == pb.ReasoningPart(redacted=b"gAAA", issuer="openai")


def test_blocks_are_a_string_or_an_array() -> None:
    message = pb.Message()

    read_blocks(message.content, "Hi")
    read_blocks(message.content, [{"type": "text", "text": "there"}])

    assert [part.text for part in message.content] == ["Hi", "there"]


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"type": 5}, "type", "must be given: the kind of this block"),
        ({"type": "text"}, "text", "must be given"),
        ({"type": "text", "text": 5}, "text", "must be a string, not a number"),
        ({"type": "text", "text": "a", "cache_control": 5}, "cache_control", "must be an object, not a number"),
        ({"type": "text", "text": "a", "citations": {}}, "citations", "must be an array, not an object"),
        ({"type": "text", "text": "a", "citations": [5]}, "citations[0]", "must be an object, not a number"),
        ({"type": "image"}, "source", "must be given"),
        ({"type": "image", "source": "x"}, "source", "must be an object, not a string"),
        ({"type": "image", "source": {"data": "AA=="}}, "source.type", "must be given: the kind of this block"),
        ({"type": "image", "source": {"type": "url"}}, "source.url", "must be given"),
        ({"type": "image", "source": {"type": "base64", "data": "AA=="}}, "source.media_type", "must be given"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}, "source.data",
         "must be base64"),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain"}}, "source.data", "must be given"),
        ({"type": "document", "source": {**PDF, "data": 5}}, "source.data", "must be a string, not a number"),
        ({"type": "document", "source": PDF, "title": 5}, "title", "must be a string, not a number"),
        ({"type": "thinking", "signature": "x"}, "thinking", "must be given"),
        ({"type": "thinking", "thinking": "a", "signature": 5}, "signature", "must be a string, not a number"),
        ({"type": "redacted_thinking"}, "data", "must be given"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(fields: dict[str, Any], field: str, problem: str) -> None:
    assert refused(**fields) == (field, problem)
