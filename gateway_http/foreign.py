"""What an answer carries that is another dialect's: fields without a place here, and proofs of thinking.

A proof means something to its issuer alone, but a client of any dialect has to be able to send it back. So it goes out
as `tollway:<issuer>:<proof>` where the issuer is not the dialect that the client speaks, and is taken apart again on
its way in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway_http.json_output import put_back

_OPENAI = "openai"
_MARK = "tollway:"


def put_extra(target: dict[str, Any], extra_json: bytes, dialect: str, own: str) -> None:
    """Adds the fields that had no place in the message: the own dialect's where they stood, another's under its name.

    `dialect` is the answer's (empty: OpenAI's chat), `own` the one that is written.
    """
    if not extra_json:
        return
    name = dialect or _OPENAI
    put_back(target if name == own else target.setdefault(name, {}), extra_json)


class Proof(NamedTuple):
    """What a client sent back, and the dialect that takes it."""

    issuer: str
    text: str


def write_proof(issuer: str, text: str, own: str) -> str:
    """The proof as a client of the dialect `own` gets it. One whose issuer is not known stays as it is."""
    return text if issuer in ("", own) else f"{_MARK}{issuer}:{text}"


def read_proof(text: str, own: str) -> Proof:
    """The proof that a client of the dialect `own` sent back: that dialect's, unless it says another."""
    if text.startswith(_MARK):
        issuer, colon, proof = text.removeprefix(_MARK).partition(":")
        if colon and issuer:
            return Proof(issuer, proof)
    return Proof(own, text)
