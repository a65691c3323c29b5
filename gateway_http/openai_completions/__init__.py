"""OpenAI's completions of old, `POST /v1/completions`: a text to go on with, asked of a chat model as one message."""

from gateway_http.openai_completions.request import decode

__all__ = ["decode"]
