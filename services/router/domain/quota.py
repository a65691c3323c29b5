"""What a provider leaves of its rate limits, by the headers of its answers.

Nobody's headers are the same. They all say `limit`, `remaining` and `reset` somewhere in their name, and what it is
that remains: OpenAI, Groq and those who follow them `x-ratelimit-remaining-tokens`, Anthropic
`anthropic-ratelimit-input-tokens-remaining`, Mistral and Cerebras `x-ratelimit-remaining-tokens-minute`, Together
`x-tokenlimit-remaining`, others `ratelimit-remaining` alone, and the IETF's draft one `RateLimit` for all. A reset is
`6m0s`, seconds, a Unix time, or RFC 3339. What cannot be read says nothing; Azure's -1 neither.

Where a header names neither minute, hour nor day, its limit is a bucket that is filled all the time, and the reset is
when it is full again; else, and where it names nothing at all, the limit comes back whole at the reset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.router.domain.needs import Needs

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_FIELD = re.compile(r"(.*?)(ratelimit|tokenlimit)(.*)")
_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 2_592_000.0}
_UNTOLD = 60.0
"""Seconds that a header without a reset is believed for."""
_DRAFT_ITEM = re.compile(r"""\s*"?([^";,]*)"?\s*((?:;\s*[a-z]+=[^;,]*)+)""")
_DRAFT_PARAMETER = re.compile(r";\s*([a-z]+)=(\d+)")
_OLD_DRAFT = re.compile(r"(limit|remaining|reset)=(\d+)")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of one limit.

    `unit` is requests, tokens, input or output (tokens both). `limit` is None where not told. `reset` is in seconds
    from when the answer's headers came; `refills` says whether it comes back bit by bit until then.
    """

    unit: str
    remaining: float
    limit: float | None
    reset: float
    refills: bool

    def left(self, elapsed: float) -> float | None:
        """What is left so many seconds later; None where nothing is known any more."""
        if elapsed >= self.reset:
            return self.limit
        if not self.refills or self.limit is None:
            return self.remaining
        return self.remaining + max(self.limit - self.remaining, 0.0) * elapsed / self.reset

    def until(self, wanted: float, elapsed: float) -> float:
        """Seconds until so much is there, from `elapsed` on."""
        missing = self.reset
        if self.refills and self.limit is not None and self.limit > self.remaining:
            share = (wanted - self.remaining) / (self.limit - self.remaining)
            missing = min(self.reset, self.reset * share)
        return max(missing - elapsed, 0.0)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a deployment would turn a question away, in a few words, and for how many seconds."""

    why: str
    wait: float


class Quota:
    """Of one deployment. A call is known by its number, which grows; times are on the clock's monotonic time."""

    __slots__ = ("_allowances", "_call", "_headers", "_heard", "_held_until", "_unix")

    def __init__(self) -> None:
        self._headers: Mapping[str, str] | None = None
        self._allowances: tuple[Allowance, ...] = ()
        self._call = 0
        self._heard = self._unix = 0.0
        self._held_until = 0.0

    def note(self, headers: Mapping[str, str], call: int, now: float, unix: float) -> None:
        """The headers of the answer to that call. They are read when somebody wants to know."""
        if call >= self._call:  # answers overtake each other, and the one asked last knows most
            self._headers, self._call, self._heard, self._unix = headers, call, now, unix

    def hold(self, until: float) -> None:
        """The provider said when to come back."""
        self._held_until = max(self._held_until, until)

    @property
    def known(self) -> bool:
        """Whether there is anything to look at."""
        return self._headers is not None or bool(self._allowances) or self._held_until > 0.0

    def shortage(self, needs: Needs | None, begun: int, now: float) -> Shortage | None:
        """Why the question would be turned away; None where it would not, as far as is known.

        `begun` is the number of the last call. `needs` None stands for a question that needs next to nothing.
        """
        if now < self._held_until:
            return Shortage("its provider asked to wait", self._held_until - now)
        if self._headers is not None:
            self._allowances, self._headers = tuple(parse(self._headers, self._unix)), None
        for allowance in self._allowances:
            elapsed = now - self._heard
            left = allowance.left(elapsed)
            if left is None:
                continue
            if allowance.unit == "requests":
                wanted = begun - self._call + 1.0  # those that left since then, and this one
                why = "its provider's limit on requests is used up"
            else:
                wanted = _tokens_wanted(allowance.unit, needs)
                why = f"its provider has about {max(int(left), 0):,} tokens left"
            if left < wanted:
                return Shortage(why, allowance.until(wanted, elapsed))
        return None


def _tokens_wanted(unit: str, needs: Needs | None) -> float:
    if needs is None:
        return 1.0
    if unit == "input":
        return max(needs.input_tokens, 1)
    return max(needs.output_tokens + (needs.input_tokens if unit == "tokens" else 0), 1)


def parse(headers: Mapping[str, str], unix: float) -> Iterator[Allowance]:
    """What the headers (lower-case names) leave. `unix` is the Unix time at which they came."""
    fields: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in headers.items():
        if name == "ratelimit":
            yield from _draft(value)
        elif (found := _read_name(name)) is not None:
            limit, field = found
            fields.setdefault(limit, {})[field] = value
    for (family, about), told in fields.items():
        remaining = _number(told.get("remaining"))
        if remaining is None:
            continue
        window = next((seconds for word, seconds in _WINDOWS.items() if word in about), None)
        reset = _until(told.get("reset", ""), unix)
        yield Allowance(
            unit=_unit(family, about),
            remaining=remaining,
            limit=_number(told.get("limit", "").partition(",")[0]),
            reset=reset if reset is not None else window or _UNTOLD,
            refills=bool(about) and window is None,
        )


def _read_name(name: str) -> tuple[tuple[str, str], str] | None:
    """Which limit a header is about, and which of its fields it is; None for one that says nothing about any."""
    match = _FIELD.fullmatch(name)
    if match is None:
        return None
    words = [word for word in match[3].split("-") if word]
    field = next((word for word in ("remaining", "reset", "limit") if word in words), None)
    if field is None:
        return None
    words.remove(field)
    about = "-".join(words)
    return None if about and not re.search(r"req|token", about) else ((match[1] + match[2], about), field)


def _unit(family: str, about: str) -> str:
    if "token" not in about and not family.endswith("tokenlimit"):
        return "requests"
    if re.search(r"input|prompt", about):
        return "input"
    return "output" if re.search(r"output|generated", about) else "tokens"


def _draft(value: str) -> Iterator[Allowance]:
    """`"default";r=50;t=30`, or as older drafts had it: `limit=100, remaining=50, reset=30`."""
    if old := dict(_OLD_DRAFT.findall(value)):
        if "remaining" in old:
            limit = float(old["limit"]) if "limit" in old else None
            yield Allowance("requests", float(old["remaining"]), limit, float(old.get("reset", _UNTOLD)), False)
        return
    for item in _DRAFT_ITEM.finditer(value):
        parameters = dict(_DRAFT_PARAMETER.findall(item[2]))
        if "r" in parameters:
            yield Allowance(
                _unit("", item[1]), float(parameters["r"]), None, float(parameters.get("t", _UNTOLD)), False
            )


def _until(value: str, unix: float) -> float | None:
    """Seconds until a reset."""
    value = value.strip()
    if _SPAN.fullmatch(value):
        return sum(float(amount) * _SECONDS[unit] for amount, unit in _SPAN_PART.findall(value))
    number = _number(value)
    if number is not None:
        if number < 1e9:
            return number
        return max((number / 1000 if number > 1e11 else number) - unix, 0.0)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:  # of a form that nobody has told us about
        return None
    return max(moment.timestamp() - unix, 0.0) if moment.tzinfo is not None else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
