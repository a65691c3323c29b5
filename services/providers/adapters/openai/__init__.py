"""OpenAI's chat completions, as spoken by OpenAI and by everyone compatible with it."""

from services.providers.adapters.openai.errors import decode_error
from services.providers.adapters.openai.request import encode_request
from services.providers.adapters.openai.response import decode_response
from services.providers.adapters.openai.stream import StreamDecoder

credentials = "bearer"
default_base_url = "https://api.openai.com/v1"
health_path = "/models"
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
    | {"logit_bias", "service_tier", "prediction", "citations"}
)

__all__ = [
    "credentials",
    "decode_error",
    "decode_response",
    "default_base_url",
    "encode_request",
    "health_path",
    "stream_decoder",
    "supports",
]
