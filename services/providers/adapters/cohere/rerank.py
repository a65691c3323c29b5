"""Documents put in order: passed on to Cohere's rerank endpoint, whose shape is the one others follow."""

from __future__ import annotations

from mesh.errors import Reason, TollwayError
from services.providers.adapters.cohere.response import NOT_UNDERSTOOD, keep_usage
from services.providers.domain.json_objects import json_object, sent_object, written
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2, forwarding_pb2


def encode_forward(question: forwarding_pb2.ForwardedQuestion, model: str) -> Encoded:
    """The question as it is, to `model`. Raises UNSUPPORTED_FEATURE for any other endpoint, and INVALID_REQUEST."""
    if question.endpoint != forwarding_pb2.ENDPOINT_RERANK or question.WhichOneof("body") != "json":
        raise TollwayError(Reason.UNSUPPORTED_FEATURE, "of the endpoints that are passed on, Cohere has rerank alone")
    return Encoded("/v2/rerank", written({**json_object(question.json, "question.json"), "model": model}))


def forward_usage(content_type: str, body: bytes) -> chat_pb2.Usage | None:
    """What the answer says it took: searches, and tokens where these are billed. None: it says nothing."""
    if "json" not in content_type:
        return None
    try:
        meta = sent_object(body).get("meta") or {}
        counted = {name: meta[name] for name in ("billed_units", "tokens", "cached_tokens") if meta.get(name)}
        if not counted:
            return None
        usage = chat_pb2.Usage()
        keep_usage(counted, usage)
        return usage
    except NOT_UNDERSTOOD:  # the answer is passed on whatever it is; what cannot be read says nothing
        return None
