"""Which model a question names, and which after it; and that it is a question at all."""

from __future__ import annotations

from typing import Any

from gateway_http.field_reading import Wrong, a, read_each
from tollway.chat.v1 import chat_pb2 as pb

_LONGEST_MODEL = 256
_MOST_MODELS = 16


def take_models(fields: dict[str, Any]) -> list[str]:
    """Takes `models` out of the fields: whom to ask after `model`. Without a `model`, the first of them is it."""
    given = fields.pop("models", None)
    if given is None:
        return []
    models: list[str] = []
    try:
        if len(a(list, given)) > _MOST_MODELS:
            raise Wrong(f"holds {len(given)} names; at most {_MOST_MODELS} are accepted")
        read_each(lambda name: models.append(_name(name)), given)
    except Wrong as wrong:
        wrong.rise("models")
        raise
    if models and fields.get("model") is None:
        fields["model"] = models.pop(0)
    return models


def check_required(fields: dict[str, Any], max_messages: int) -> None:
    if fields.get("model") is None:
        raise Wrong("must be given: the name of the model to ask", "model")
    messages = fields.get("messages")
    if messages is None:
        raise Wrong("must be given: the conversation so far", "messages")
    if isinstance(messages, list) and len(messages) > max_messages:
        raise Wrong(f"holds {len(messages)} messages; at most {max_messages} are accepted", "messages")


def read_model(chat: pb.ChatRequest, value: Any) -> None:
    chat.model = _name(value)


def _name(value: Any) -> str:
    name: str = a(str, value)
    if not 0 < len(name) <= _LONGEST_MODEL or not name.isprintable():
        raise Wrong(f"must be a name of 1 to {_LONGEST_MODEL} printable characters")
    return name
