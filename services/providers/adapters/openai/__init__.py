"""OpenAI's chat completions, as spoken by OpenAI and by everyone compatible with it."""

from services.providers.adapters.openai.embeddings import decode_embeddings, encode_embeddings
from services.providers.adapters.openai.errors import decode_error
from services.providers.adapters.openai.forwarding import encode_forward, forward_usage
from services.providers.adapters.openai.request import encode_request
from services.providers.adapters.openai.response import decode_response
from services.providers.adapters.openai.server import Server, dialect
from services.providers.adapters.openai.stream import StreamDecoder

credentials = Server.credentials
default_base_url = Server.default_base_url
health_path = Server.health_path
stream_decoder = StreamDecoder
supports = frozenset(
    {
        "chat",
        "stream",
        "system",
        "developer",
        "tools",
        "parallel_tools",
        "tool_choice",
        "vision",
        "audio_in",
        "audio_out",
    }
    | {"files", "json_object", "json_schema", "reasoning", "logprobs", "n", "seed", "stop", "top_k", "penalties"}
    | {"logit_bias", "service_tier", "prediction", "citations", "cache_control", "reasoning_proof", "embeddings"}
    | {"images", "speech", "transcription", "moderation", "rerank"}
)

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
