"""A question as a server wants it that follows OpenAI but for some quirks of its own."""

from __future__ import annotations

from services.providers.adapters.openai.extra import Asked
from services.providers.domain.json_objects import Json

_PLACES = {
    "n": "chat.choice_count",
    "max_completion_tokens": "chat.sampling.max_output_tokens",
    **{
        name: f"chat.sampling.{name}"
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "frequency_penalty",
            "presence_penalty",
            "max_tokens",
            "logprobs",
            "top_logprobs",
            "stop",
            "logit_bias",
        )
    },
}
"""Where in a question stands what is called otherwise in the body, or stands deeper there."""


def adapt(body: Json, asked: Asked, question: str = "chat") -> None:
    """Renames what the server calls otherwise, and takes out what it does not take. `question` is where paths begin."""
    quirks = asked.quirks
    for name in sorted(quirks.refuses & body.keys()) if quirks.refuses else ():
        asked.unsaid.refuse(_PLACES.get(name, f"{question}.{name}"), "is not taken by this provider")
        del body[name]
    for name in sorted(quirks.ignores & body.keys()) if quirks.ignores else ():
        asked.unsaid.leave_out(_PLACES.get(name, f"{question}.{name}"))
        del body[name]
    for name, other in quirks.renames.items():
        if name in body:
            value = body.pop(name)
            body.setdefault(other, value)
    if not quirks.stream_options:
        body.pop("stream_options", None)
