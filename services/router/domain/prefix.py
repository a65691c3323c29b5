"""What stays the same while a conversation grows: its beginning, by which a provider's prompt cache knows it.

By message and never by length of text: a cut in the middle of a message would move with everything before it. Left out
is what clients change on old messages as they go on, such as marks that say where a cache should end (`extra_json`).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, Message, Role

_Add = Callable[[str, bytes], None]
_INSTRUCTIONS = (Role.ROLE_SYSTEM, Role.ROLE_DEVELOPER)


def prefix_of(chat: ChatRequest) -> bytes:
    """Sixteen bytes for the tools, the instructions at the beginning, and the first message after them."""
    digest = blake2b(digest_size=16)

    def add(kind: str, value: bytes) -> None:
        digest.update(f"{kind}:{len(value)}:".encode())
        digest.update(value)

    for tool in chat.tools:
        add("tool", tool.name.encode())
        add("is", tool.description.encode())
        add("takes", tool.parameters_json or tool.extra_json)
    for message in chat.messages:
        add("from", str(message.role).encode())
        _add_content(message, add)
        if message.role not in _INSTRUCTIONS:
            break
    return digest.digest()


def _add_content(message: Message, add: _Add) -> None:
    for part in message.content:
        kind = part.WhichOneof("part") or "other"
        add(kind, _bytes_of(part, kind))


def _bytes_of(part: ContentPart, kind: str) -> bytes:
    if kind == "text":
        return part.text.encode()
    if kind == "other":
        return part.extra_json
    value = getattr(part, kind)
    return value.encode() if isinstance(value, str) else bytes(value.SerializeToString(deterministic=True))
