"""What a question needs of whoever answers it: features, and room in the context window."""

from __future__ import annotations

from services.router.domain.usage import prompt_size, tokens
from tollway.chat.v1.chat_pb2 import ChatRequest, Message, ResponseFormatKind, Role

FEATURES = ("tools", "vision", "json_schema", "audio", "files", "reasoning")
"""What a question may need, in the order in which it is told. `prefill` is nothing that a question asks for."""

_MOST_PER_TOKEN = 8
"""Characters that one token stands for, at most: prose has four or five of them, code with deep indentation six."""

_TOOL_ROLES = (Role.ROLE_TOOL, Role.ROLE_FUNCTION)


class Needs:
    """Of one question. Each is found out when it is first looked at: most routes never ask."""

    __slots__ = ("_characters", "_chat", "_features")

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._features: tuple[str, ...] | None = None
        self._characters: int | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Of FEATURES, those it cannot do without."""
        if self._features is None:
            found = _features(self._chat)
            self._features = tuple(name for name in FEATURES if name in found)
        return self._features

    @property
    def input_tokens(self) -> int:
        """What the prompt is taken for: four characters a token. Pictures, sound and files are not guessed at."""
        return tokens(self._size)

    @property
    def fewest_input_tokens(self) -> int:
        """What the prompt comes to at the very least."""
        return self._size // _MOST_PER_TOKEN

    @property
    def output_tokens(self) -> int:
        """How long an answer may become, as far as the question says so; 0 where it does not."""
        sampling = self._chat.sampling
        return max(sampling.max_output_tokens or sampling.max_tokens, 0)

    @property
    def _size(self) -> int:
        if self._characters is None:
            self._characters = prompt_size(self._chat)
        return self._characters


def _features(chat: ChatRequest) -> set[str]:
    found: set[str] = set()
    for message in chat.messages:
        _add_features_of(message, found)
    if chat.tools:
        found.add("tools")
    if chat.response_format.kind == ResponseFormatKind.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        found.add("json_schema")
    if "audio" in chat.modalities:
        found.add("audio")
    if chat.reasoning_effort not in ("", "none"):
        found.add("reasoning")
    return found


def _add_features_of(message: Message, found: set[str]) -> None:
    if message.tool_calls or message.role in _TOOL_ROLES:
        found.add("tools")
    for part in message.content:
        kind = part.WhichOneof("part")
        if kind == "image":
            found.add("vision")
        elif kind == "audio":
            found.add("audio")
        elif kind == "file":
            found.add("files")
