"""Sources, log probabilities, proofs and pictures of an answer, in OpenAI's Responses."""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

from gateway_http.foreign import put_extra, write_proof
from gateway_http.openai_chat.annotations import citation_json
from gateway_http.openai_responses.items import OF_TEXT, OWN
from tollway.chat.v1 import chat_pb2 as pb

_FORMATS = ("png", "webp", "jpeg", "gif")


def annotation_json(citation: pb.Citation, end: int, dialect: str) -> dict[str, Any]:
    """A citation of something on the web, about all of the text up to `end` where it does not say."""
    said: dict[str, Any] = {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.answer_start,
        "end_index": citation.answer_end if citation.HasField("answer_end") else end,
    }
    if citation.cited_text:
        said["content"] = citation.cited_text
    put_extra(said, citation.extra_json, dialect, OWN)
    return said


def source_json(citation: pb.Citation, dialect: str) -> dict[str, Any]:
    """A citation of anything else, for which OpenAI has no kind: in the words of `tollway.chat.v1`."""
    said = citation_json(citation)
    put_extra(said, citation.extra_json, dialect, OWN)
    return said


def logprobs_json(tokens: Iterable[pb.TokenLogprob]) -> list[dict[str, Any]]:
    return [{**_token(token), "top_logprobs": [_token(top) for top in token.top]} for token in tokens]


def _token(token: pb.TokenLogprob) -> dict[str, Any]:
    raw = token.token_bytes if token.HasField("token_bytes") else token.token.encode()
    return {"token": token.token, "logprob": token.logprob, "bytes": list(raw)}


def proof_of(reasoning: pb.ReasoningPart) -> str:
    """What `encrypted_content` says: the thinking itself, encrypted, or what proves its text. Empty: nothing is proven.

    A signature is marked as such, since on its way back it has to be told from the other.
    """
    if reasoning.redacted:
        return write_proof(reasoning.issuer, reasoning.redacted.decode("utf-8", "replace"), OWN)
    if reasoning.signature:
        return write_proof(reasoning.issuer, OF_TEXT + reasoning.signature, OWN)
    return ""


def image_fields(image: pb.ImagePart) -> dict[str, Any]:
    """A picture as the result of making it. One that is somewhere else is named by its address."""
    media_type, result = image.media_type, None
    fields: dict[str, Any] = {}
    if image.HasField("data"):
        result = binascii.b2a_base64(image.data, newline=False).decode()
    elif image.url.startswith("data:") and ";base64," in image.url:
        head, _, result = image.url.removeprefix("data:").partition(";base64,")
        media_type = media_type or head
    else:
        fields["url"] = image.url or image.file_id
    made = media_type.removeprefix("image/")
    return {"result": result, **({"output_format": made} if made in _FORMATS else {}), **fields}
