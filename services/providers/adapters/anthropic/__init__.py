"""Anthropic's Messages API, as its documentation describes it."""

from services.providers.adapters.anthropic.errors import decode_error
from services.providers.adapters.anthropic.request import encode_count, encode_request
from services.providers.adapters.anthropic.response import decode_count, decode_original_count, decode_response
from services.providers.adapters.anthropic.stream import StreamDecoder

credentials = "x-api-key"
default_base_url = "https://api.anthropic.com/v1"
health_path = "/models"
stream_decoder = StreamDecoder
supports = frozenset(
    {"chat", "stream", "system", "vision", "files", "cache_control", "tools", "parallel_tools", "tool_choice"}
    | {"json_schema", "stop", "top_k", "service_tier", "reasoning", "reasoning_proof", "citations", "count"}
)
"""What can be said in it, and what is not refused for good."""

__all__ = [
    "credentials",
    "decode_count",
    "decode_error",
    "decode_original_count",
    "decode_response",
    "default_base_url",
    "encode_count",
    "encode_request",
    "health_path",
    "stream_decoder",
    "supports",
]
