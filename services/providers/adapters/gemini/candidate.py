"""What a candidate says beside its parts: why it ended, and how likely its tokens were."""

from __future__ import annotations

from typing import Any

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_REASONS = {
    "STOP": chat_pb2.FINISH_REASON_STOP,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_LENGTH,
    "SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "RECITATION": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "BLOCKLIST": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "PROHIBITED_CONTENT": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "SPII": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "MODEL_ARMOR": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_RECITATION": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
"""All others (LANGUAGE, OTHER, MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, NO_IMAGE, …) are FINISH_REASON_OTHER."""

_NOTHING: tuple[object, ...] = (None, [], {})


def finish(reason: str | None, into: chat_pb2.Choice | chat_pb2.Delta, *, calls: bool) -> None:
    """Says why it ended. Gemini has no word for tool calls: an answer that stops with any is one."""
    if not reason:
        return
    into.finish_reason = _REASONS.get(reason, chat_pb2.FINISH_REASON_OTHER)
    if reason == "STOP":
        if calls:
            into.finish_reason = chat_pb2.FINISH_REASON_TOOL_CALLS
    elif reason != "MAX_TOKENS":
        into.native_finish_reason = reason


def take_logprobs(candidate: Json, into: chat_pb2.Choice | chat_pb2.Delta) -> None:
    """Takes the log probabilities out of the candidate; ids of tokens, and sums, stay where they are."""
    result = candidate.get("logprobsResult")
    if not isinstance(result, dict):
        return
    into.logprobs.SetInParent()
    chosen, tops = result.get("chosenCandidates") or [], result.get("topCandidates") or []
    for i, drawn in enumerate(chosen):
        token = into.logprobs.content.add()
        _token(drawn, token)
        for other in (tops[i].get("candidates") or ()) if i < len(tops) else ():
            _token(other, token.top.add())
    if left := _without_empty(result):
        candidate["logprobsResult"] = left
    else:
        del candidate["logprobsResult"]


def _token(drawn: Json, into: chat_pb2.TokenLogprob) -> None:
    into.token = drawn.pop("token", None) or ""
    into.logprob = drawn.pop("logProbability", None) or 0.0


def _without_empty(value: Any) -> Any:
    """What is left. In a list, an entry that is empty keeps the place of those after it."""
    if isinstance(value, list):
        entries = [_without_empty(each) for each in value]
        return entries if any(entry not in _NOTHING for entry in entries) else []
    if isinstance(value, dict):
        return {name: kept for name, each in value.items() if (kept := _without_empty(each)) not in _NOTHING}
    return value


def rest(left: Json) -> bytes:
    """What has no place of its own, as JSON; empty where nothing does."""
    return encode_json(left) if left else b""
