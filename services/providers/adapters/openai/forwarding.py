"""Questions that are passed on as they stand, but for the model's name, to OpenAI's other endpoints."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import orjson

from mesh.errors import invalid
from services.providers.adapters.openai.extra import json_object
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
_ACCEPT = {"accept": "*/*"}
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def encode_forward(question: forwarding_pb2.ForwardedQuestion, model: str) -> Encoded:
    """The call that passes a question on to `model`. Raises INVALID_REQUEST for one that is no question."""
    path = _PATHS.get(question.endpoint)
    if path is None:
        raise invalid("question.endpoint", "is missing")
    if question.WhichOneof("body") == "json":
        return Encoded(path, orjson.dumps({**json_object(question.json, "question.json"), "model": model}), _ACCEPT)
    boundary = token_hex(16)
    headers = {**_ACCEPT, "content-type": f"multipart/form-data; boundary={boundary}"}
    return Encoded(path, _form(question.form, model, boundary), headers)


def _form(form: forwarding_pb2.Form, model: str, boundary: str) -> bytes:
    others = [field for field in form.fields if field.name != "model"]
    fields = [forwarding_pb2.FormField(name="model", value=model.encode()), *others]
    parts = (f"--{boundary}\r\n{_head(field)}".encode() + field.value + b"\r\n" for field in fields)
    return b"".join((*parts, f"--{boundary}--\r\n".encode()))


def _head(field: forwarding_pb2.FormField) -> str:
    head = f'content-disposition: form-data; name="{field.name.translate(_ESCAPES)}"'
    if field.filename:
        head += f'; filename="{field.filename.translate(_ESCAPES)}"'
    if field.content_type:
        head += f"\r\ncontent-type: {field.content_type.translate(_ESCAPES)}"
    return f"{head}\r\n\r\n"


def forward_usage(content_type: str, body: bytes) -> chat_pb2.Usage | None:
    """What an answer says that it took: a body's `usage`, or that of a stream's last event that has one."""
    if "json" in content_type:
        return _usage_in(body)
    if "event-stream" in content_type:
        for _, data in reversed(EventDecoder(MAX_ANSWER).feed(body)):
            if usage := _usage_in(data):
                return usage
    return None


def _usage_in(data: bytes) -> chat_pb2.Usage | None:
    try:
        return _usage(orjson.loads(data).get("usage"))
    except (ValueError, TypeError, AttributeError):  # what cannot be read says nothing
        return None


def _usage(said: Any) -> chat_pb2.Usage | None:
    if not isinstance(said, dict):
        return None
    usage = chat_pb2.Usage(
        input_tokens=said.pop("input_tokens", said.get("prompt_tokens", 0)), output_tokens=said.pop("output_tokens", 0)
    )
    details = said.get("input_tokens_details") or said.get("input_token_details") or {}
    usage.input_audio_tokens = details.get("audio_tokens", 0)
    usage.input_image_tokens = details.get("image_tokens", 0)
    total = said.pop("total_tokens", 0)
    if not (usage.input_tokens or usage.output_tokens):  # all that rerankers count is what they read
        usage.input_tokens = total
    if said:
        usage.extra_json = orjson.dumps(said)
    return usage
