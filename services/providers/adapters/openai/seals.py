"""Proofs of thinking that are good only with what their issuer has beside them: OpenRouter's `id` and `format`.

So these are part of the proof, `{"format": "…"}<proof>`: whoever carries a conversation carries the proof, but not
every dialect has room for anything beside it.
"""

from __future__ import annotations

from json import JSONDecodeError, JSONDecoder

from services.providers.domain.json_objects import Json, encode_json

PROOFS = ("signature", "data")
"""Where a detail of thinking has its proof."""
_BESIDE = ("format", "id")
_decoder = JSONDecoder()


def beside(detail: Json) -> Json:
    """What of a detail its proof is not good without."""
    return {name: detail[name] for name in _BESIDE if isinstance(detail.get(name), str)}


def sealed(proof: str, detail: Json) -> str:
    """The proof with what belongs to it; as it is where there is none, or nothing that does."""
    about = beside(detail)
    return encode_json(about).decode() + proof if proof and about else proof


def opened(proof: str) -> tuple[str, Json]:
    """The proof as its issuer gave it, and what belongs to it."""
    if not proof.startswith("{"):
        return proof, {}
    try:
        about, end = _decoder.raw_decode(proof)
    except (JSONDecodeError, RecursionError):
        return proof, {}
    return proof[end:], beside(about)
