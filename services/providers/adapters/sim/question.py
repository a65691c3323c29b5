"""A chat completion request as the model reads it: of OpenAI's fields, those that change the answer."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from mesh.bounds import MAX_CHOICES
from services.providers.adapters.sim.text import count
from services.providers.domain.json_objects import Json

_PER_MESSAGE = 3
_CACHE_BLOCK = 16
_NOT_ASKED = {"model", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
"""Fields that do not change what is said, only how, and how much of it."""


class BadQuestion(Exception):
    """The request makes no sense. The text says why, `param` which field is to blame."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how.

    `seed` is the same for the same question, streamed or not, of whichever model, however much of the answer is wanted
    and however much of it is there already: `begun` is what a last message of the assistant's says.
    """

    model: str
    messages: list[Json]
    begun: str
    seed: int
    stream: bool
    include_usage: bool
    choices: int
    tools: list[Json]
    tool_choice: Any
    response_format: Json
    limit: int | None
    stop: list[str]
    top_logprobs: int | None

    @property
    def last_user_text(self) -> str:
        said = [message for message in self.messages if message.get("role") == "user"]
        return text_of(said[-1]) if said else ""

    @property
    def tool_results(self) -> list[str]:
        """What tools answered since the model last spoke."""
        results: list[str] = []
        for message in reversed(self.messages):
            if message.get("role") not in ("tool", "function"):
                break
            results.append(text_of(message))
        return results[::-1]

    @property
    def tokens(self) -> int:
        """Those of every text, and three a message."""
        return sum(_tokens(message) for message in self.messages)

    @property
    def cached_tokens(self) -> int:
        """A provider that answered before remembers what it answered to, in whole blocks."""
        spoken = [i for i, message in enumerate(self.messages) if message.get("role") == "assistant"]
        known = sum(_tokens(message) for message in self.messages[: spoken[-1] + 1]) if spoken else 0
        return known - known % _CACHE_BLOCK


def read_question(body: bytes) -> Question:
    """The question in a request's body. Raises BadQuestion."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadQuestion(f"The body of the request is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadQuestion("The body of the request must be a JSON object.")
    messages = _field(fields, "messages", list, None)
    if not messages or not all(isinstance(message, dict) for message in messages):
        raise BadQuestion("'messages' must be an array of at least one message.", "messages")
    begun = text_of(messages[-1]) if _is_begun_answer(messages) else ""
    stop = fields.get("stop")
    limits = [_whole(fields, name) for name in ("max_completion_tokens", "max_tokens")]
    return Question(
        model=_field(fields, "model", str, ""),
        messages=messages,
        begun=begun,
        seed=_seed(fields, messages[:-1] if begun else messages),
        stream=_field(fields, "stream", bool, False),
        include_usage=bool(_field(fields, "stream_options", dict, {}).get("include_usage")),
        choices=_whole(fields, "n", MAX_CHOICES) or 1,
        tools=[tool for tool in _field(fields, "tools", list, []) if isinstance(tool, dict)],
        tool_choice=fields.get("tool_choice"),
        response_format=_field(fields, "response_format", dict, {}),
        limit=min((limit for limit in limits if limit is not None), default=None),
        stop=[stop] if isinstance(stop, str) else _field(fields, "stop", list, []),
        top_logprobs=(_whole(fields, "top_logprobs") or 0) if fields.get("logprobs") else None,
    )


def text_of(message: Json) -> str:
    """What the message says in words."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _tokens(message: Json) -> int:
    calls = message.get("tool_calls")
    return _PER_MESSAGE + count(text_of(message)) + (count(orjson.dumps(calls).decode()) if calls else 0)


def _is_begun_answer(messages: list[Json]) -> bool:
    return len(messages) > 1 and messages[-1].get("role") == "assistant" and not messages[-1].get("tool_calls")


def _seed(fields: Json, messages: list[Json]) -> int:
    asked = {name: value for name, value in fields.items() if name not in _NOT_ASKED}
    asked["messages"] = messages
    try:
        text = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:  # it could be read, but is nested more deeply than what can be written
        raise BadQuestion(f"The body of the request is too deep: {error}") from None
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def _field(fields: Json, name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise BadQuestion(f"Invalid type for '{name}': expected {kind.__name__}.", name)
    return value


def _whole(fields: Json, name: str, most: int = 100_000) -> int | None:
    value = _field(fields, name, int, None)
    if value is not None and not 0 <= value <= most:
        raise BadQuestion(f"Invalid value for '{name}': {value}.", name)
    return None if value is None else int(value)
