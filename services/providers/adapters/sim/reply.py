"""What the model answers, token by token, before anyone thinks of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any, Literal, NamedTuple

import orjson

from mesh.config.schema import MOST_SIM_TOKENS
from services.providers.adapters.sim.behaviour import Behaviour
from services.providers.adapters.sim.instance import Impossible, instance
from services.providers.adapters.sim.question import BadQuestion, Question
from services.providers.adapters.sim.text import count, prose, split

Field = Literal["reasoning_content", "content", "refusal", "arguments"]


class Token(NamedTuple):
    """A token, and what it is part of; of a tool's arguments, `call` says which call's."""

    field: Field
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


@dataclass(frozen=True, slots=True)
class _Draft:
    """What would be said, were there no end to what can be: texts, which are split as far as they are wanted."""

    texts: tuple[tuple[Field, str], ...]
    finish: str = "stop"
    calls: tuple[ToolCall, ...] = ()

    def content(self) -> str:
        return "".join(text for field, text in self.texts if field == "content")

    def tokens(self) -> Iterator[Token]:
        call = 0
        for field, text in self.texts:
            for token in split(text):
                yield Token(field, token, call)
            call += field == "arguments"


def replies(question: Question, behaviour: Behaviour) -> tuple[Reply, ...]:
    """An answer for each choice. Raises BadQuestion for a schema that nothing satisfies."""
    most = MOST_SIM_TOKENS // question.choices
    if behaviour.tokens > most:
        behaviour = replace(behaviour, tokens=most + 1)  # which shows that there would be more
    return tuple(_reply(question, behaviour, Random(question.seed + i), most) for i in range(question.choices))


def _reply(question: Question, behaviour: Behaviour, random: Random, most: int) -> Reply:
    draft = _go_on(_draft(question, behaviour, random), question.begun)
    finish = behaviour.finish or draft.finish
    limit = most if question.limit is None else min(question.limit, most)
    tokens = tuple(islice(draft.tokens(), limit + 1))
    if len(tokens) <= limit:
        return Reply(tokens, finish, draft.calls)
    begun = {token.call for token in tokens[:limit] if token.field == "arguments"}
    return Reply(tokens[:limit], "length", draft.calls[: len(begun)])


def _go_on(draft: _Draft, begun: str) -> _Draft:
    """What is left to be said where it has been begun, be it in these words or in others."""
    if not begun:
        return draft
    whole = draft.content()
    said = len(begun) if whole.startswith(begun) else sum(map(len, islice(split(whole), count(begun))))
    return replace(draft, texts=(("content", whole[said:]),))


def _draft(question: Question, behaviour: Behaviour, random: Random) -> _Draft:
    if behaviour.kind == "refusal":
        return _Draft((("refusal", "I'm sorry, but I can't help with that."),))
    if behaviour.kind == "echo":
        return _Draft((("content", _until(question.stop, question.last_user_text)),))
    thoughts: tuple[tuple[Field, str], ...] = ()
    if behaviour.kind == "reasoning":
        thoughts = (("reasoning_content", "".join(prose(random, max(behaviour.tokens // 2, 1)))),)
    if question.tools and question.tool_choice != "none" and not question.tool_results:
        return _tool_calls(question, behaviour, random, thoughts)
    return _Draft((*thoughts, ("content", _until(question.stop, _text(question, behaviour, random)))))


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


def _tool_calls(
    question: Question, behaviour: Behaviour, random: Random, thoughts: tuple[tuple[Field, str], ...]
) -> _Draft:
    """As many calls as the model makes at once, one tool after the other, or the one tool that was named."""
    offered = [tool["function"] for tool in question.tools if isinstance(tool.get("function"), dict)]
    if isinstance(question.tool_choice, dict):
        named = question.tool_choice.get("function", {}).get("name")
        offered = [function for function in offered if function.get("name") == named]
    if not offered:
        raise BadQuestion("'tools' holds no function that may be called.", "tools")
    calls: list[ToolCall] = []
    texts = list(thoughts)
    for i in range(behaviour.calls):
        function = offered[i % len(offered)]
        arguments = _instance(function.get("parameters") or {"type": "object"}, random, f"tools[{i}]")
        calls.append(ToolCall(f"call_{random.getrandbits(96):024x}", str(function.get("name", ""))))
        texts.append(("arguments", _json(arguments)))
    return _Draft(tuple(texts), "tool_calls", tuple(calls))


def _instance(schema: Any, random: Random, param: str) -> Any:
    try:
        return instance(schema, random)
    except Impossible as impossible:
        raise BadQuestion(f"Invalid schema: {impossible}.", param) from None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _until(stop: list[str], text: str) -> str:
    """What stands before the first of the sequences that end the answer."""
    ends = [text.find(sequence) for sequence in stop if isinstance(sequence, str) and sequence in text]
    return text[: min(ends)] if ends else text
