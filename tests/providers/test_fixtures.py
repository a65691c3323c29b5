"""Runs every folder of fixtures: what goes out for a question, and what is read out of the answer to it.

`fixtures/<dialect or preset>/<case>/` holds

- `request.json`: a ChatRequest as proto-JSON, but that its `*_json` fields hold their JSON as it is, not in base64;
- `upstream_request.json`: the body that must go out for it, and in `dropped.json` the paths of what is left out of it,
  where the client allows that and there is any; in `call.json` the model that is asked and the path that must be
  called, where these matter;
- `upstream.json`, `upstream.sse` or `upstream.events` (a line for each event, see `framing.frames`, which are sent as
  AWS's binary event stream): the provider's body, and in `upstream_head.json` its status and headers where they are not
  a plain 200's;
- `expected.json`: the `response`, or the joined `stream`, and the `error` that is in place of it or ends it.

Streams are read whole, cut in two at every byte, and byte by byte.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from mesh.errors import TollwayError
from services.providers.bootstrap import dialect_of
from services.providers.domain.unsaid import Unsaid
from services.providers.ports import Dialect, StreamDecoder
from tests.providers.framing import frames
from tollway.chat.v1 import chat_pb2

Json = dict[str, Any]

ROOT = Path(__file__).parent / "fixtures"
CASES = sorted(ROOT.glob("*/*/"))
NOW = 1_700_000_000.0


def named(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


def streamed(case: Path) -> bool:
    return (case / "upstream.sse").exists() or (case / "upstream.events").exists()


def upstream_body(case: Path) -> bytes:
    if (case / "upstream.events").exists():
        return frames((case / "upstream.events").read_text())
    return (case / ("upstream.sse" if streamed(case) else "upstream.json")).read_bytes()


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_recorded_call_means_what_its_fixture_says(case: Path) -> None:
    dialect = dialect_of(case.parent.name)
    chat = read_request(case / "request.json")
    stream = streamed(case)
    unsaid = Unsaid(allowed=True)
    call: Json = load(case / "call.json") if (case / "call.json").exists() else {"model": "the-model"}
    encoded = dialect.encode_request(chat, call["model"], stream, unsaid)
    assert encoded.path == call.get("path", encoded.path)
    assert json.loads(encoded.body) == load(case / "upstream_request.json")
    assert unsaid.dropped == (load(case / "dropped.json") if (case / "dropped.json").exists() else [])

    expected = load(case / "expected.json")
    head: Json = load(case / "upstream_head.json") if (case / "upstream_head.json").exists() else {"status": 200}
    body = upstream_body(case)
    if head["status"] != 200:
        error = dialect.decode_error(head["status"], head.get("headers", {}), body, NOW)
        assert {"error": readable_error(error)} == expected
    elif not stream:
        assert decode_whole(dialect, body) == expected
    else:
        for pieces in ways_to_cut(body):
            assert decode_stream(dialect, chat, pieces) == expected


@pytest.mark.parametrize("case", [c for c in CASES if streamed(c)], ids=named)
def test_a_truncated_stream_is_never_reported_as_finished(case: Path) -> None:
    dialect, chat = dialect_of(case.parent.name), read_request(case / "request.json")
    body = upstream_body(case)
    whole = decode_stream(dialect, chat, [body])
    for end in range(len(body)):
        part = decode_stream(dialect, chat, [body[:end]])
        if "error" not in part:
            choices = part["stream"]["choices"]
            assert len(choices) >= max(chat.choice_count, 1)
            assert all("finish_reason" in choice for choice in choices.values())
            for index, choice in choices.items():
                assert choice.get("text") == whole["stream"]["choices"][index].get("text")


def decode_whole(dialect: Dialect, body: bytes) -> Json:
    try:
        return {"response": readable(dialect.decode_response(body))}
    except TollwayError as error:
        return {"error": readable_error(error)}


def decode_stream(dialect: Dialect, chat: chat_pb2.ChatRequest, pieces: Iterable[bytes]) -> Json:
    decoder: StreamDecoder = dialect.stream_decoder(chat.choice_count or 1, 1 << 20)
    chunks: list[chat_pb2.ChatChunk] = []
    for piece in pieces:
        if not decoder.done:
            chunks += decoder.feed(piece)
    decoded: Json = {"stream": joined(chunks)}
    if decoder.error is not None:
        decoded["error"] = readable_error(decoder.error)
    elif not decoder.done and not decoder.complete:
        decoded["error"] = {"reason": "cut"}
    return decoded


def ways_to_cut(body: bytes) -> Iterator[list[bytes]]:
    yield [body]
    yield [body[i : i + 1] for i in range(len(body))]
    for i in range(1, len(body)):
        yield [body[:i], body[i:]]


def joined(chunks: list[chat_pb2.ChatChunk]) -> Json:
    """What a client that joins the chunks has in the end; empty values are left out."""
    whole: Json = defaultdict(dict)
    for chunk in chunks:
        fields = readable(chunk)
        whole["extra"].update(fields.pop("extra_json", {}))
        for delta in fields.pop("deltas", ()):
            join(whole["choices"].setdefault(str(delta.pop("index", 0)), {}), delta)
        whole.update(fields)
    return {name: value for name, value in whole.items() if value or name == "usage"}


def join(choice: Json, delta: Json) -> None:
    for name, value in delta.items():
        if name in ("text", "refusal"):
            choice[name] = choice.get(name, "") + value
        elif name == "reasoning":
            if value.get("text"):
                choice[name] = choice.get(name, "") + value["text"]
            if value.keys() - {"text"}:  # what proves the thinking, in the order in which it came
                proof = {kept: each for kept, each in value.items() if kept != "text"}
                choice.setdefault("reasoning_proofs", []).append({"part": delta.get("part", 0), **proof})
        elif name == "part":
            continue
        elif name == "citations":
            choice.setdefault(name, []).extend({"part": delta.get("part", 0), **each} for each in value)
        elif name == "parts":
            choice.setdefault(name, []).extend(value)
        elif name == "tool_calls":
            calls = choice.setdefault(name, {})
            for piece in value:
                join_call(calls.setdefault(str(piece.pop("index", 0)), {}), piece)
        elif name == "logprobs":
            tokens = choice.setdefault(name, {"content": [], "refusal": []})
            for kind in tokens:
                tokens[kind] += value.get(kind, ())
        elif name in ("extra_json", "choice_extra_json"):
            choice.setdefault(name, []).append(value)
        else:
            assert name not in choice, f"{name} is said twice"
            choice[name] = value


def join_call(call: Json, piece: Json) -> None:
    for name, value in piece.items():
        if name == "arguments":
            call[name] = call.get(name, "") + value
        else:
            assert name not in call, f"a tool call's {name} is said twice"
            call[name] = value


def read_request(path: Path) -> chat_pb2.ChatRequest:
    return ParseDict(canonical(load(path)), chat_pb2.ChatRequest())


def canonical(value: Any) -> Any:
    """Puts the JSON of `*_json` fields into the base64 that proto-JSON has for bytes."""
    if isinstance(value, list):
        return [canonical(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: b64encode(json.dumps(each).encode()).decode() if name.endswith("_json") else canonical(each)
        for name, each in value.items()
    }


def readable(message: Message) -> Any:
    """The message as proto-JSON, with the JSON of `*_json` fields as it is."""
    return unpacked(MessageToDict(message, preserving_proto_field_name=True))


def unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: json.loads(b64decode(each)) if name.endswith("_json") else unpacked(each) for name, each in value.items()
    }


def readable_error(error: TollwayError) -> Json:
    said: Json = {"reason": error.reason.value, "message": error.message, "metadata": dict(error.metadata)}
    return said if error.retry_after is None else {**said, "retry_after": error.retry_after}


def load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_bytes())
    return loaded
