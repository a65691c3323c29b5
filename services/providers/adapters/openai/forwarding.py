"""Questions that are passed on as they stand, but for the model's name, to OpenAI's other endpoints."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from mesh.errors import invalid
from services.providers.adapters.openai.halves import parse
from services.providers.domain.json_objects import encode_json, json_object, written
from services.providers.domain.sse import EventDecoder
from services.providers.domain.wire import MAX_ANSWER, Encoded
from tollway.chat.v1 import chat_pb2, forwarding_pb2

_PATHS = {
    forwarding_pb2.ENDPOINT_IMAGE_GENERATIONS: "/images/generations",
    forwarding_pb2.ENDPOINT_AUDIO_SPEECH: "/audio/speech",
    forwarding_pb2.ENDPOINT_AUDIO_TRANSCRIPTIONS: "/audio/transcriptions",
    forwarding_pb2.ENDPOINT_MODERATIONS: "/moderations",
    forwarding_pb2.ENDPOINT_RERANK: "/rerank",
}
"""`/rerank` is not OpenAI's: compatible servers have it where Jina and Cohere do."""
_ACCEPT = {"accept": "*/*"}
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""How a form writes what would end a name (WHATWG HTML, multipart/form-data)."""
_DETAILS = {
    "input": {"cached_tokens": "cached_input_tokens", "audio_tokens": "input_audio_tokens"}
    | {"image_tokens": "input_image_tokens"},
    "output": {"reasoning_tokens": "reasoning_tokens", "audio_tokens": "output_audio_tokens"}
    | {"image_tokens": "output_image_tokens"},
}


def encode_forward(question: forwarding_pb2.ForwardedQuestion, model: str) -> Encoded:
    """The call that passes a question on to `model`. Raises INVALID_REQUEST for one that is no question."""
    path = _PATHS.get(question.endpoint)
    if path is None:
        raise invalid("question.endpoint", "is missing")
    if question.WhichOneof("body") == "json":
        return Encoded(path, written({**json_object(question.json, "question.json"), "model": model}), _ACCEPT)
    if question.WhichOneof("body") == "form":
        boundary = token_hex(16)
        headers = {**_ACCEPT, "content-type": f"multipart/form-data; boundary={boundary}"}
        return Encoded(path, _form(question.form, model, boundary.encode()), headers)
    raise invalid("question.body", "is missing")


def _form(form: forwarding_pb2.Form, model: str, boundary: bytes) -> bytes:
    pieces: list[bytes] = []
    named = False
    for i, field in enumerate(form.fields):
        ours = field.name == "model"
        if ours and named:
            continue
        named = named or ours
        pieces += (b"--", boundary, b"\r\n", _head(field, i), model.encode() if ours else field.value, b"\r\n")
    if not named:
        head = _head(forwarding_pb2.FormField(name="model"), 0)
        pieces += (b"--", boundary, b"\r\n", head, model.encode(), b"\r\n")
    return b"".join((*pieces, b"--", boundary, b"--\r\n"))


def _head(field: forwarding_pb2.FormField, place: int) -> bytes:
    head = f'content-disposition: form-data; name="{field.name.translate(_ESCAPES)}"'
    if field.filename:
        head += f'; filename="{field.filename.translate(_ESCAPES)}"'
    if field.content_type:
        if not field.content_type.isprintable():
            raise invalid(f"question.form.fields[{place}].content_type", "must be one line of printable characters")
        head += f"\r\ncontent-type: {field.content_type}"
    return f"{head}\r\n\r\n".encode()


def forward_usage(content_type: str, body: bytes) -> chat_pb2.Usage | None:
    """What an answer says that it took: a body's `usage`, or that of a stream's last event that has one."""
    if "json" in content_type:
        return _usage_in(body)
    if "event-stream" in content_type:
        decoder = EventDecoder(MAX_ANSWER)
        for _, data in reversed(decoder.feed(body)):
            if b'"usage"' in data and (usage := _usage_in(data)):
                return usage
    return None


def _usage_in(data: bytes) -> chat_pb2.Usage | None:
    try:
        return _usage(parse(data).get("usage"))
    except (ValueError, TypeError):  # it is passed on all the same: what cannot be read says nothing
        return None


def _usage(said: Any) -> chat_pb2.Usage | None:
    """Tokens, under either of their names; what was measured otherwise (seconds of sound) under its own."""
    if not isinstance(said, dict) or not said:
        return None
    usage = chat_pb2.Usage()
    total = said.pop("total_tokens", None)
    for side, older in (("input", "prompt"), ("output", "completion")):
        counts = [said.pop(name) for name in (f"{side}_tokens", f"{older}_tokens") if said.get(name) is not None]
        if counts:
            setattr(usage, f"{side}_tokens", counts[0])
        elif side == "input" and total is not None:  # all that rerankers count is what they read
            usage.input_tokens = total
        for name in (f"{side}_tokens_details", f"{side}_token_details"):
            if isinstance(details := said.get(name), dict):
                _put_details(details, _DETAILS[side], usage)
    if said:
        usage.extra_json = encode_json(said)
    return usage


def _put_details(details: dict[str, Any], known: dict[str, str], usage: chat_pb2.Usage) -> None:
    for name, field in known.items():
        if (count := details.get(name)) is not None:
            setattr(usage, field, count)
