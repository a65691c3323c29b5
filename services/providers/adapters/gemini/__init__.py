"""Google's generateContent, as spoken by the Gemini API and by Vertex AI.

The two differ by base URL and credentials: the Gemini API takes a key, Vertex AI an access token
(`adapters.google_credentials`). Three things only the Gemini API knows: batchEmbedContents, counting tokens of a
question that has a system prompt or tools, and a health path that lists models.

Formats are those of Google's public reference for generateContent, streamGenerateContent, batchEmbedContents and
countTokens, and of the types in Google's own client library.
"""

from services.providers.adapters.gemini.counting import decode_count, encode_count
from services.providers.adapters.gemini.embeddings import decode_embeddings, encode_embeddings
from services.providers.adapters.gemini.errors import decode_error
from services.providers.adapters.gemini.request import encode_request
from services.providers.adapters.gemini.response import decode_response
from services.providers.adapters.gemini.stream import StreamDecoder

credentials = "x-goog-api-key"
default_base_url = "https://generativelanguage.googleapis.com/v1beta"
health_path = "/models"
stream_decoder = StreamDecoder
supports = frozenset(
    {"chat", "stream", "system", "vision", "audio_in", "files", "tools", "tool_choice", "json_object", "json_schema"}
    | {"n", "seed", "stop", "top_k", "penalties", "logprobs", "service_tier", "reasoning", "reasoning_proof"}
    | {"citations", "audio_out", "embeddings", "count"}
)

__all__ = [
    "credentials",
    "decode_count",
    "decode_embeddings",
    "decode_error",
    "decode_response",
    "default_base_url",
    "encode_count",
    "encode_embeddings",
    "encode_request",
    "health_path",
    "stream_decoder",
    "supports",
]
