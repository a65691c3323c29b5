"""The dialect as one server speaks it."""

from __future__ import annotations

from typing import ClassVar

from services.providers.adapters.openai.embeddings import decode_embeddings, encode_embeddings
from services.providers.adapters.openai.errors import decode_error
from services.providers.adapters.openai.forwarding import encode_forward, forward_usage
from services.providers.adapters.openai.request import encode_request
from services.providers.adapters.openai.response import decode_response
from services.providers.adapters.openai.stream import StreamDecoder
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from services.providers.ports import Dialect
from tollway.chat.v1 import chat_pb2, embedding_pb2


class Server:
    """A server with quirks. Answers are read alike, whoever gives them."""

    credentials: ClassVar[str] = "bearer"
    default_base_url: ClassVar[str] = "https://api.openai.com/v1"
    health_path: ClassVar[str] = "/models"
    stream_decoder = StreamDecoder
    decode_error = staticmethod(decode_error)
    decode_response = staticmethod(decode_response)
    decode_embeddings = staticmethod(decode_embeddings)
    encode_forward = staticmethod(encode_forward)
    forward_usage = staticmethod(forward_usage)

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks

    def encode_request(self, chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
        return encode_request(chat, model, stream, unsaid, self._quirks)

    def encode_embeddings(self, request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
        return encode_embeddings(request, model, unsaid, self._quirks)


def dialect(quirks: Quirks) -> Dialect:
    """What is spoken to a server with these quirks."""
    return Server(quirks)
