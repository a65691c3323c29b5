"""What the model answers, token by token, before anyone thinks of the wire."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, NamedTuple

import orjson

from services.providers.adapters.sim.behaviour import Behaviour
from services.providers.adapters.sim.instance import Impossible, instance
from services.providers.adapters.sim.question import BadQuestion, Question
from services.providers.adapters.sim.text import count, prose, split


class Token(NamedTuple):
    """A token, and what it is part of; of a tool's arguments, `call` says which call's."""

    field: Literal["reasoning_content", "content", "refusal", "arguments"]
    text: str
    call: int = 0


class ToolCall(NamedTuple):
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice. Its tokens are all it is charged for."""

    tokens: tuple[Token, ...]
    finish: str
    calls: tuple[ToolCall, ...] = ()

    def text(self, field: str, call: int = 0) -> str:
        return "".join(token.text for token in self.tokens if token.field == field and token.call == call)

    def has(self, field: str) -> bool:
        return any(token.field == field for token in self.tokens)

    @property
    def reasoning_tokens(self) -> int:
        return sum(token.field == "reasoning_content" for token in self.tokens)


def replies(question: Question, behaviour: Behaviour) -> tuple[Reply, ...]:
    """An answer for each choice. Raises BadQuestion for a schema that nothing satisfies."""
    return tuple(_reply(question, behaviour, Random(question.seed + i)) for i in range(question.choices))


def _reply(question: Question, behaviour: Behaviour, random: Random) -> Reply:
    reply = _go_on(_unlimited(question, behaviour, random), question.begun)
    if behaviour.finish:
        reply = replace(reply, finish=behaviour.finish)
    if question.limit is not None and len(reply.tokens) > question.limit:
        reply = Reply(reply.tokens[: question.limit], "length", reply.calls)
        begun = {token.call for token in reply.tokens if token.field == "arguments"}
        reply = replace(reply, calls=reply.calls[: len(begun)])
    return reply


def _go_on(reply: Reply, begun: str) -> Reply:
    """What is left to be said of the reply where it has been begun, be it in these words or in others."""
    if not begun:
        return reply
    whole = reply.text("content")
    rest = split(whole[len(begun) :]) if whole.startswith(begun) else split(whole)[count(begun) :]
    return replace(reply, tokens=tuple(Token("content", text) for text in rest))


def _unlimited(question: Question, behaviour: Behaviour, random: Random) -> Reply:
    if behaviour.kind == "refusal":
        return Reply(_said("refusal", "I'm sorry, but I can't help with that."), "stop")
    if behaviour.kind == "echo":
        return Reply(_said("content", _until(question.stop, question.last_user_text)), "stop")
    thoughts: tuple[Token, ...] = ()
    if behaviour.kind == "reasoning":
        length = max(behaviour.tokens // 2, 1)
        thoughts = tuple(Token("reasoning_content", text) for text in prose(random, length))
    if question.tools and question.tool_choice != "none" and not question.tool_results:
        return _tool_calls(question, behaviour, random, thoughts)
    text = _until(question.stop, _text(question, behaviour, random))
    return Reply((*thoughts, *_said("content", text)), "stop")


def _text(question: Question, behaviour: Behaviour, random: Random) -> str:
    match question.response_format.get("type"):
        case "json_schema":
            wanted = question.response_format.get("json_schema")
            schema = wanted.get("schema", True) if isinstance(wanted, dict) else True
            return _json(_instance(schema, random, "response_format"))
        case "json_object":
            return _json({"answer": "".join(prose(random, behaviour.tokens))})
    if question.tool_results:
        return "The tools answered: " + " ".join(question.tool_results)
    return "".join(prose(random, behaviour.tokens))


def _tool_calls(question: Question, behaviour: Behaviour, random: Random, thoughts: tuple[Token, ...]) -> Reply:
    """As many calls as the model makes at once, one tool after the other, or the one tool that was named."""
    offered = [tool["function"] for tool in question.tools if isinstance(tool.get("function"), dict)]
    if isinstance(question.tool_choice, dict):
        named = question.tool_choice.get("function", {}).get("name")
        offered = [function for function in offered if function.get("name") == named]
    if not offered:
        raise BadQuestion("'tools' holds no function that may be called.", "tools")
    calls, tokens = [], list(thoughts)
    for i in range(behaviour.calls):
        function = offered[i % len(offered)]
        arguments = _instance(function.get("parameters") or {"type": "object"}, random, f"tools[{i}]")
        calls.append(ToolCall(f"call_{random.getrandbits(96):024x}", str(function.get("name", ""))))
        tokens += [Token("arguments", text, i) for text in split(_json(arguments))]
    return Reply(tuple(tokens), "tool_calls", tuple(calls))


def _instance(schema: Any, random: Random, param: str) -> Any:
    try:
        return instance(schema, random)
    except Impossible as impossible:
        raise BadQuestion(f"Invalid schema: {impossible}.", param) from None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _said(field: Literal["content", "refusal"], text: str) -> tuple[Token, ...]:
    return tuple(Token(field, token) for token in split(text))


def _until(stop: list[str], text: str) -> str:
    """What stands before the first of the sequences that end the answer."""
    ends = [text.find(sequence) for sequence in stop if isinstance(sequence, str) and sequence in text]
    return text[: min(ends)] if ends else text
