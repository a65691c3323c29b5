"""What proves a train of thought: its `encrypted_content`, which OpenAI takes back under the item's own id alone.

So both are one proof here, `<id>:<encrypted content>`: whoever carries a conversation carries the proof, but not every
dialect has room for an id beside it.
"""

from __future__ import annotations

import re

from services.providers.domain.json_objects import Json

_NAMED = re.compile(r"(rs_[\w-]+):(.+)", re.DOTALL)


def proof_in(item: Json) -> bytes:
    """The proof of a reasoning item; empty where it has none."""
    encrypted, name = item.get("encrypted_content") or "", item.get("id") or ""
    return (f"{name}:{encrypted}" if encrypted and name.startswith("rs_") else encrypted).encode()


def proven(proof: bytes) -> Json:
    """The fields of a reasoning item with that proof. One that came from elsewhere has no id."""
    text = proof.decode()
    if named := _NAMED.fullmatch(text):
        return {"id": named[1], "encrypted_content": named[2]}
    return {"encrypted_content": text} if text else {}
