"""Azure OpenAI: OpenAI's chat completions at addresses of Azure's own, where a deployment's name is the model's.

There are two APIs. The one called v1 has OpenAI's paths below `/openai/v1`, and the deployment in the body; the dated
ones have it in the path, and their date as `api-version` behind it. Both answer what OpenAI answers, and beside it what
Azure's content filters found: `prompt_filter_results`, in a stream in an event without choices, and each choice's
`content_filter_results`, which travel in `extra_json` as everything does that only one provider says.
"""

from services.providers.adapters.azure.errors import decode_error
from services.providers.adapters.azure.resource import Resource, dialect
from services.providers.adapters.openai import (
    decode_embeddings,
    decode_response,
    forward_usage,
    stream_decoder,
)
from services.providers.adapters.openai import supports as _openais
from services.providers.domain.quirks import NO_QUIRKS

_v1 = Resource(NO_QUIRKS)

credentials = Resource.credentials
default_base_url = Resource.default_base_url
encode_embeddings = _v1.encode_embeddings
encode_forward = _v1.encode_forward
encode_request = _v1.encode_request
health_path = _v1.health_path
supports = _openais - {"cache_control", "reasoning_proof", "top_k", "rerank"}

__all__ = [
    "credentials",
    "decode_embeddings",
    "decode_error",
    "decode_response",
    "default_base_url",
    "dialect",
    "encode_embeddings",
    "encode_forward",
    "encode_request",
    "forward_usage",
    "health_path",
    "stream_decoder",
    "supports",
]
