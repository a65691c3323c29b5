"""What a model's name says about how the model behaves: `kind`, or `kind:parameter=value,parameter=value`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from mesh.config.schema import MOST_SIM_RATE, MOST_SIM_TOKENS, SimOptions
from mesh.config.values import parse_setting
from services.providers.ports import KnownModel

CATALOGUE = tuple(
    KnownModel(name, description)
    for name, description in (
        ("sim", "Readable English, the same for the same question; calls tools and fills in schemas where asked to."),
        ("text:ttft=200ms,rate=50,tokens=100", "The same with its pace (tokens a second) and length in its name."),
        ("echo", "Says the last user message again, word for word, and at most 100000 tokens of it."),
        ("reasoning", "Thinks before it answers, and counts that."),
        ("refusal", "Declines."),
        ("slow", "Five tokens a second."),
        ("slow-start", "Two seconds until the first token."),
        ("text:finish=content_filter", "Ends for the reason that its name gives."),
        ("text:calls=2", "Calls that many tools in one answer."),
        ("status-503", "Fails with the HTTP status in its name: any from 300 to 599."),
        ("status-429:retry-after=2", "Fails so, and says in how many seconds to come back."),
        ("context-length", "Says that the question is longer than its context."),
        ("content-filter", "Says that its filter refused the question."),
        ("model-not-found", "Says that there is no such model."),
        ("silence", "Never answers."),
        ("silence-after-headers", "Sends headers, and nothing after them."),
        ("silence-after-role", "Sends a first event without content, and nothing after it."),
        ("pings", "Sends comments that say it is alive, and never content."),
        ("reset", "Resets the connection before it answers."),
        ("cut:after=5", "Drops the connection after that many tokens."),
        ("cut:after=5,fail=1,key=a", "Does so that many times, answers once, and so on; keys are counted apart."),
        ("stall:after=5", "Falls silent after that many tokens, with the connection open."),
        ("malformed:after=5", "Sends an event that is no JSON after that many tokens, and goes on."),
        ("error-event:after=5", "Reports an error in the stream after that many tokens."),
        ("error-body", "Answers 200 with an error in its body."),
        ("no-done", "Leaves out the mark at the end of a stream."),
        ("no-usage", "Never says how many tokens it took."),
        ("flaky:fail=2,key=a", "Fails with 503 so many times, answers once, and so on; keys are counted apart."),
    )
)
"""Examples of every kind there is, with what each does."""

_PRESETS: dict[str, dict[str, Any]] = {
    "text": {},
    "sim": {},
    "slow": {"rate": 5.0},
    "slow-start": {"ttft": 2.0},
}
_KINDS = {model.name.partition(":")[0] for model in CATALOGUE} - {"status-503", "status-429"}
_MOST_CALLS = 128


class NoSuchModel(Exception):
    """The name is nearly that of a kind, or has a parameter that no kind has. The text says which."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How to answer.

    `after` is the token of a call that a fault comes after. `fail` is how often in a row a model behaves as its kind
    does, before it gives one plain answer; 0: it always does.
    """

    kind: str
    ttft: float
    rate: float
    tokens: int
    after: int = 5
    calls: int = 1
    finish: str = ""
    retry_after: str = ""
    status: int = 503
    fail: int = 0
    key: str = ""


def behaviour(name: str, options: SimOptions) -> Behaviour:
    """What the name asks for. A name that means nothing here stands for `sim`, so that any client can be pointed at it.

    Raises NoSuchModel for what is likely a slip of the pen, rather than answer it.
    """
    kind, _, parameters = name.partition(":")
    usual = Behaviour(_kind(kind), options.ttft, options.rate, options.tokens)
    if usual.kind == "status":
        usual = replace(usual, status=int(kind.removeprefix("status-")))
    elif usual.kind == "flaky":
        usual = replace(usual, fail=1)
    if kind not in _KINDS and usual.kind != "status":
        return usual
    changes = dict(_PRESETS.get(kind, {}))
    for pair in parameters.split(",") if parameters else ():
        key, _, value = pair.partition("=")
        changes[key.replace("-", "_")] = _value(key, value)
    return replace(usual, **changes)


def _kind(name: str) -> str:
    if name in _PRESETS:
        return "text"
    if name in _KINDS:
        return name
    if re.fullmatch(r"status-[3-5]\d\d", name):
        return "status"
    near = get_close_matches(name, {*_KINDS, "status-503"}, 1, 0.75)
    if near or name.startswith("status-"):
        raise NoSuchModel(f"there is no model {name!r} here; did you mean {(near or ['status-503'])[0]!r}?")
    return "text"


def _value(key: str, text: str) -> Any:
    parse = _PARAMETERS.get(key)
    if parse is None:
        raise NoSuchModel(f"a model has no parameter {key!r}; there are {', '.join(_PARAMETERS)}")
    try:
        return parse(text)
    except ValueError as error:
        raise NoSuchModel(f"{key}={text}: {error}") from None


def _rate(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII) or float(text) > MOST_SIM_RATE:
        raise ValueError(f"must be tokens a second, at most {MOST_SIM_RATE}")
    return float(text)


def _count(text: str, most: int = MOST_SIM_TOKENS) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) > most:
        raise ValueError(f"must be from 0 to {most}")
    return int(text)


def _status(text: str) -> int:
    if not re.fullmatch(r"[3-5]\d\d", text):
        raise ValueError("must be an HTTP status from 300 to 599")
    return int(text)


def _wait(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be a number of seconds, or a date")
    return text


_PARAMETERS: dict[str, Callable[[str], Any]] = {
    "ttft": parse_setting,
    "rate": _rate,
    "tokens": _count,
    "after": _count,
    "calls": partial(_count, most=_MOST_CALLS),
    "finish": str,
    "retry-after": _wait,
    "status": _status,
    "fail": _count,
    "key": str,
}
