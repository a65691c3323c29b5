"""The dialect as a resource of Azure speaks it: OpenAI's, at the paths of the v1 API or of a dated one."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from services.providers.adapters import openai
from services.providers.adapters.azure.errors import decode_error
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from services.providers.ports import Dialect
from tollway.chat.v1 import chat_pb2, embedding_pb2, forwarding_pb2

_V1 = "/openai/v1"


class Resource:
    """A resource, asked by the API whose version is in the quirks; v1 where there is none."""

    credentials: ClassVar[str] = "api-key"
    default_base_url: ClassVar[str] = ""
    stream_decoder = openai.stream_decoder
    decode_error = staticmethod(decode_error)
    decode_response = staticmethod(openai.decode_response)
    decode_embeddings = staticmethod(openai.decode_embeddings)
    forward_usage = staticmethod(openai.forward_usage)

    def __init__(self, quirks: Quirks) -> None:
        self._version = quirks.api_version
        self.health_path = self._place("/models")

    def encode_request(self, chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
        return self._placed(openai.encode_request(chat, model, stream, unsaid), model)

    def encode_embeddings(self, request: embedding_pb2.EmbeddingRequest, model: str, unsaid: Unsaid) -> Encoded:
        return self._placed(openai.encode_embeddings(request, model, unsaid), model)

    def encode_forward(self, question: forwarding_pb2.ForwardedQuestion, model: str) -> Encoded:
        return self._placed(openai.encode_forward(question, model), model)

    def _placed(self, encoded: Encoded, deployment: str) -> Encoded:
        return encoded._replace(path=self._place(encoded.path, deployment))

    def _place(self, path: str, deployment: str = "") -> str:
        """OpenAI's path as this API has it."""
        if not self._version:
            return _V1 + path
        behind = f"/deployments/{quote(deployment, safe='')}" if deployment else ""
        return f"/openai{behind}{path}?api-version={self._version}"


def dialect(quirks: Quirks) -> Dialect:
    """What is spoken to a resource by the API of that version."""
    return Resource(quirks)
