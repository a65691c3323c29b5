"""Anthropic's Messages, `POST /v1/messages` and `/v1/messages/count_tokens`: from JSON to messages, and back."""

from gateway_http.anthropic.count import CountTokens
from gateway_http.anthropic.errors import AnthropicErrors
from gateway_http.anthropic.headers import ID_HEADER, read_headers
from gateway_http.anthropic.request import decode

__all__ = ["ID_HEADER", "AnthropicErrors", "CountTokens", "decode", "read_headers"]
