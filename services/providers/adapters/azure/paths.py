"""Where a question to Azure goes: the v1 API's paths, or a dated API's."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from mesh.errors import TollwayError
from services.providers.adapters import openai
from services.providers.adapters.azure.errors import decode_error
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from services.providers.ports import Dialect, StreamDecoder
from tollway.chat.v1 import chat_pb2

_V1 = "/openai/v1"


class Spoken:
    """Implements `ports.Dialect` for one of Azure's APIs. `api_version` is empty for v1."""

    credentials = "api-key"
    default_base_url = ""
    supports = openai.supports

    def __init__(self, api_version: str = "") -> None:
        self._version = api_version
        self.health_path = self._place("/models")

    def encode_request(self, chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
        encoded = openai.encode_request(chat, model, stream, unsaid)
        return encoded._replace(path=self._place(encoded.path, model))

    def decode_response(self, body: bytes) -> chat_pb2.ChatResponse:
        return openai.decode_response(body)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
        return decode_error(status, headers, body, now)

    def stream_decoder(self, choices: int, max_event: int) -> StreamDecoder:
        return openai.stream_decoder(choices, max_event)

    def _place(self, path: str, deployment: str = "") -> str:
        """OpenAI's path as this API has it."""
        if not self._version:
            return _V1 + path
        behind = f"/deployments/{quote(deployment, safe='')}" if deployment else ""
        return f"/openai{behind}{path}?api-version={self._version}"


def bind(quirks: Quirks) -> Dialect:
    """The API of the version that is asked for."""
    return Spoken(quirks.api_version)
