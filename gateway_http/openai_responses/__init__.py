"""OpenAI's Responses, `POST /v1/responses`, without memory: every question brings its whole conversation.

What is said is `input` items, what is answered `output` items; a stream is typed events with sequence numbers. Nothing
is stored, so that every answer says `store: false`, and whatever refers to something stored is refused by name.
"""

from gateway_http.openai_responses.request import decode

__all__ = ["decode"]
