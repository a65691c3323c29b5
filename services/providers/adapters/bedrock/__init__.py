"""AWS Bedrock's Converse, whichever model is behind it (the service model of Bedrock Runtime, 2023-09-30)."""

from services.providers.adapters.bedrock.errors import decode_error
from services.providers.adapters.bedrock.request import decode_count, encode_count, encode_request
from services.providers.adapters.bedrock.response import decode_response
from services.providers.adapters.bedrock.stream import StreamDecoder

credentials = "bearer"
"""How Bedrock takes an API key. Calls that are signed have credentials of the kind `aws`."""
default_base_url = "https://bedrock-runtime.us-east-1.amazonaws.com"
health_path = "/async-invoke?maxResults=1"
"""The one thing here that can be had without asking a model. Asks for the permission `bedrock:ListAsyncInvokes`."""
stream_decoder = StreamDecoder
supports = frozenset(
    {
        "chat",
        "stream",
        "system",
        "vision",
        "audio_in",
        "files",
        "cache_control",
        "tools",
        "tool_choice",
        "json_schema",
        "stop",
        "top_k",
        "service_tier",
        "reasoning",
        "reasoning_proof",
        "citations",
        "count",
    }
)
"""What can be said, by the names that all adapters have for it."""

__all__ = [
    "credentials",
    "decode_count",
    "decode_error",
    "decode_response",
    "default_base_url",
    "encode_count",
    "encode_request",
    "health_path",
    "stream_decoder",
    "supports",
]
