"""Log probabilities of an answer's tokens."""

from __future__ import annotations

from typing import Any

from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs"})


def keep_logprobs(logprobs: Any, into: chat_pb2.Choice | chat_pb2.Delta, around: Json) -> None:
    """Fills `into.logprobs`, or puts back into `around` what is not in OpenAI's shape."""
    if not isinstance(logprobs, dict) or not logprobs.keys() <= {"content", "refusal"} or not _plain(logprobs):
        around["logprobs"] = logprobs
        return
    into.logprobs.SetInParent()
    for drawn in logprobs.get("content") or ():
        _token(drawn, into.logprobs.content.add())
    for drawn in logprobs.get("refusal") or ():
        _token(drawn, into.logprobs.refusal.add())


def _plain(logprobs: Json) -> bool:
    """Whether every token has the fields that there are places for, and no others."""
    return all(
        token.keys() <= _TOKEN and all(other.keys() <= _TOKEN for other in token.get("top_logprobs") or ())
        for tokens in logprobs.values()
        for token in tokens or ()
    )


def _token(drawn: Json, into: chat_pb2.TokenLogprob) -> None:
    into.token = drawn["token"]
    into.logprob = drawn["logprob"]
    if (raw := drawn.get("bytes")) is not None:
        into.token_bytes = bytes(raw)
    for other in drawn.get("top_logprobs") or ():
        _token(other, into.top.add())
