"""A reply in OpenAI's JSON, whole or event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import orjson

from services.providers.adapters.sim.question import Question
from services.providers.adapters.sim.reply import Reply, Token
from services.providers.domain.json_objects import Json

CREATED = 1_700_000_000
"""The same question gets the same answer, to the byte."""
_INSTEAD = (" perhaps", " the", " a", " and", " not", " here", " often", " so", " it", " was", " no", " why", " you")


def completion(question: Question, replies: tuple[Reply, ...], usage: Json | None) -> bytes:
    """The whole answer."""
    body = _head(question, "chat.completion")
    body["choices"] = [_choice(question, i, reply) for i, reply in enumerate(replies)]
    if usage is not None:
        body["usage"] = usage
    return orjson.dumps(body)


def opening(question: Question, replies: tuple[Reply, ...]) -> Iterator[bytes]:
    """A first event for each choice: its role, and nothing said yet."""
    for i, reply in enumerate(replies):
        content = None if reply.calls or reply.has("refusal") else ""
        yield chunk(question, i, {"role": "assistant", "content": content})


def rounds(question: Question, replies: tuple[Reply, ...]) -> Iterator[bytes]:
    """The events of the next token of every choice, until all have said all."""
    begun: set[tuple[int, int]] = set()
    for position in range(max(len(reply.tokens) for reply in replies)):
        events = b""
        for i, reply in enumerate(replies):
            if position < len(reply.tokens):
                token = reply.tokens[position]
                first = token.field == "arguments" and (i, token.call) not in begun
                begun.add((i, token.call))
                events += chunk(question, i, _delta(reply, token, first), logprobs=_logprobs(question, (token,)))
        yield events


def closing(question: Question, replies: tuple[Reply, ...], usage: Json | None) -> Iterator[bytes]:
    """A finish reason for each choice, and what it all took."""
    for i, reply in enumerate(replies):
        yield chunk(question, i, {}, finish=reply.finish)
    if usage is not None:
        yield event({**_head(question, "chat.completion.chunk"), "choices": [], "usage": usage})


def usage_of(question: Question, replies: tuple[Reply, ...]) -> Json:
    """The question's tokens, and all the replies'."""
    asked, answered = question.tokens, sum(len(reply.tokens) for reply in replies)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": question.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": sum(reply.reasoning_tokens for reply in replies)},
    }


def chunk(question: Question, index: int, delta: Json, *, finish: str | None = None, logprobs: Any = None) -> bytes:
    body = _head(question, "chat.completion.chunk")
    body["choices"] = [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]
    if question.include_usage:
        body["usage"] = None
    return event(body)


def event(data: Json) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(question: Question, kind: str) -> Json:
    return {"id": f"chatcmpl-{question.seed:016x}", "object": kind, "created": CREATED, "model": question.model}


def _choice(question: Question, index: int, reply: Reply) -> Json:
    content = reply.text("content")
    message: Json = {"role": "assistant", "content": None if reply.calls or reply.has("refusal") else content}
    message["refusal"] = reply.text("refusal") if reply.has("refusal") else None
    if reply.has("reasoning_content"):
        message["reasoning_content"] = reply.text("reasoning_content")
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": reply.text("arguments", i)},
            }
            for i, call in enumerate(reply.calls)
        ]
    logprobs = _logprobs(question, reply.tokens)
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reply.finish}


def _delta(reply: Reply, token: Token, first: bool) -> Json:
    if token.field != "arguments":
        return {token.field: token.text}
    function: Json = {"arguments": token.text}
    call: Json = {"index": token.call, "function": function}
    if first:
        made = reply.calls[token.call]
        call |= {"id": made.id, "type": "function"}
        function["name"] = made.name
    return {"tool_calls": [call]}


def _logprobs(question: Question, tokens: tuple[Token, ...]) -> Json | None:
    if question.top_logprobs is None:
        return None
    return {
        # Written one by one: what is written takes a tenth of the memory.
        name: [
            orjson.Fragment(orjson.dumps(_logprob(token.text, question.top_logprobs)))
            for token in tokens
            if token.field == name
        ]
        or None
        for name in ("content", "refusal")
    }


def _logprob(token: str, top: int) -> Json:
    drawn = _drawn(token, -(crc32(token.encode()) % 500) / 1000)  # the parentheses count: -5 % 500 is 495
    others = [word for word in _INSTEAD if word != token]
    ranked = [dict(drawn), *(_drawn(word, -1.0 - i) for i, word in enumerate(others))]
    return {**drawn, "top_logprobs": ranked[:top]}


def _drawn(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
