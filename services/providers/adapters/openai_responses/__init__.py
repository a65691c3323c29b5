"""OpenAI's Responses, asked without a state: `POST /responses`, and everything said so far goes along each time.

An answer is a list of items. What they say becomes one message, so:

- a `reasoning` item is a part with the text of its summary, and in `redacted` its `encrypted_content` (`proof`);
- a `message` item's texts and refusals are parts; its `phase`, an unusual `status` and what else it has stand in the
  `extra_json` of the first of them, under `item`;
- a `function_call` is a tool call, a `custom_tool_call` one of the type `custom` with its input for arguments;
- an `image_generation_call` that has come to an end is a picture;
- an item of any other kind is a part that only its `extra_json` describes.

The way back is the same, read from the right. Ids of items are labels for a server that stores them, and are not kept;
that of a train of thought is, as part of its proof.

What is asked of OpenAI beside conversations is asked at the same addresses, whichever of its dialects is spoken.
"""

from services.providers.adapters.openai.embeddings import decode_embeddings, encode_embeddings
from services.providers.adapters.openai.errors import decode_error
from services.providers.adapters.openai.forwarding import encode_forward, forward_usage
from services.providers.adapters.openai_responses.counting import decode_count, encode_count
from services.providers.adapters.openai_responses.request import encode_request
from services.providers.adapters.openai_responses.response import decode_response
from services.providers.adapters.openai_responses.stream import StreamDecoder

credentials = "bearer"
default_base_url = "https://api.openai.com/v1"
health_path = "/models"
stream_decoder = StreamDecoder
supports = frozenset(
    {"chat", "stream", "system", "developer", "tools", "parallel_tools", "tool_choice", "vision", "files"}
    | {"json_object", "json_schema", "reasoning", "reasoning_proof", "logprobs", "service_tier", "citations"}
    | {"count", "embeddings", "images", "speech", "transcription", "moderation", "rerank"}
)
"""What of `domain.features` can be said."""

__all__ = [
    "credentials",
    "decode_count",
    "decode_embeddings",
    "decode_error",
    "decode_response",
    "default_base_url",
    "encode_count",
    "encode_embeddings",
    "encode_forward",
    "encode_request",
    "forward_usage",
    "health_path",
    "stream_decoder",
    "supports",
]
