"""OpenAI's chat completions, `POST /v1/chat/completions`: from JSON to messages, and back as JSON or events."""

from gateway_http.openai_chat.request import decode

__all__ = ["decode"]
