"""Cohere's API, version 2: chat, embeddings and reranking."""

from services.providers.adapters.cohere.embeddings import decode_embeddings, encode_embeddings
from services.providers.adapters.cohere.errors import decode_error
from services.providers.adapters.cohere.request import encode_request
from services.providers.adapters.cohere.rerank import encode_forward, forward_usage
from services.providers.adapters.cohere.response import decode_response
from services.providers.adapters.cohere.stream import StreamDecoder

credentials = "bearer"
default_base_url = "https://api.cohere.com"
health_path = "/v1/models"
stream_decoder = StreamDecoder
supports = frozenset(
    {
        "chat",
        "stream",
        "system",
        "vision",
        "files",
        "tools",
        "tool_choice",
        "json_object",
        "json_schema",
        "seed",
        "stop",
        "top_k",
        "penalties",
        "logprobs",
        "reasoning",
        "citations",
        "embeddings",
        "rerank",
    }
)
"""What can be said, by the names that all adapters have for it."""

__all__ = [
    "credentials",
    "decode_embeddings",
    "decode_error",
    "decode_response",
    "default_base_url",
    "encode_embeddings",
    "encode_forward",
    "encode_request",
    "forward_usage",
    "health_path",
    "stream_decoder",
    "supports",
]
