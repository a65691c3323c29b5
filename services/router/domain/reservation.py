"""How much is reserved for a call under hard budgets: before it leaves, and while it is answered.

What a prompt costs at most is known beforehand, more or less; what an answer will cost is not. So a call begins with
what answers took lately, and is given more as it speaks. Where a provider may count tokens that are never shown
(thinking), hearing it says nothing of what it costs: what is reserved for such a call is its cap on tokens, too, so it
begins with a generous one, and with a small one only where not much is left.

Tokens are reckoned on the safe side here: two bytes of text to each, where four characters are usual.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.money import PPM
from services.router.domain.expectation import Seen
from services.router.domain.usage import ANY_TIER
from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, Delta
from tollway.ledger.v1.ledger_pb2 import ContextTier, Price, Rates, ServiceTier

_BYTES_PER_TOKEN = 2
_A_PICTURE = 2_000
"""Tokens. The large providers count at most 1,700 for one."""
_BYTES_PER_TOKEN_OF_A_FILE = 10
_BYTES_PER_TOKEN_OF_SOUND = 500
"""A tenth of a second to a token, of well compressed speech."""
_ROLE = 4
"""Tokens that stand around a message."""

_FIRST_GUESS = 256
"""Tokens of an answer to somebody who has had none."""
_GENEROUS, _MODEST = 16_384, 1_024
"""Caps on tokens, where the client set none: as a rule, and where not much is left."""
_MILLION = 1_000_000
_TEXT_FIELD = Delta.DESCRIPTOR.fields_by_name["text"]


def prompt_tokens(chat: ChatRequest) -> int:
    """What the prompt comes to at most."""
    size = sum(len(tool.name) + len(tool.description.encode()) + len(tool.parameters_json) for tool in chat.tools)
    size += len(chat.response_format.schema_json)
    tokens = 0
    for message in chat.messages:
        tokens += _ROLE
        size += sum(len(call.name) + len(call.arguments.encode()) for call in message.tool_calls)
        for part in message.content:
            if text := part.text:
                size += len(text.encode())
            else:
                tokens += _part(part)
    return tokens + -(-size // _BYTES_PER_TOKEN)


def _part(part: ContentPart) -> int:
    match part.WhichOneof("part"):
        case "image":
            return _A_PICTURE
        case "audio":
            return -(-len(part.audio.data) // _BYTES_PER_TOKEN_OF_SOUND)
        case "file":
            return -(-len(part.file.data) // _BYTES_PER_TOKEN_OF_A_FILE)
        case "reasoning":
            return -(-(len(part.reasoning.text.encode()) + len(part.reasoning.redacted)) // _BYTES_PER_TOKEN)
        case _:
            return -(-(len(part.refusal.encode()) + len(part.extra_json)) // _BYTES_PER_TOKEN)


def is_beyond_text(chat: ChatRequest) -> bool:
    """Whether there is sound or a picture in the prompt, or may be in the answer."""
    if any(modality != "text" for modality in chat.modalities):
        return True
    return any(
        part.WhichOneof("part") in ("audio", "image", "file") for message in chat.messages for part in message.content
    )


def spoken_tokens(deltas: Iterable[Delta]) -> int:
    """What these come to at most."""
    size = 0
    for delta in deltas:
        fields = delta.ListFields()
        if len(fields) == 1 and fields[0][0] is _TEXT_FIELD:  # nearly always
            size += len(fields[0][1].encode())
            continue
        size += len(delta.text.encode()) + len(delta.refusal.encode()) + len(delta.extra_json)
        if delta.HasField("reasoning"):
            size += len(delta.reasoning.text.encode()) + len(delta.reasoning.redacted)
        for call in delta.tool_calls:
            size += len(call.name) + len(call.arguments.encode())
    return -(-size // _BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Costs:
    """The most that a call costs, in nano-USD: `base` whatever it says, and so much for a million tokens of answer."""

    base: int
    per_million: int

    @classmethod
    def at(cls, price: Price, input_tokens: int, tier: str = "", *, beyond_text: bool = False) -> Costs:
        """Of a prompt of at most so many tokens that asks for a service tier, where all tokens are of the dearest kinds
        that the price tells apart; those of sound and pictures among them, where there may be any."""
        base = per_million = 0
        for rates, multiplier in _rates(price, input_tokens, tier):
            dearest_input, dearest_output = _dearest(rates, beyond_text=beyond_text)
            factor = multiplier * (PPM + price.markup_ppm)
            prompt = (input_tokens * dearest_input + price.request_nanos * PPM) * factor
            base = max(base, _divide_up(prompt, PPM**3))
            per_million = max(per_million, _divide_up(dearest_output * factor, PPM**2))
        return cls(base, per_million)

    def of(self, tokens: int) -> int:
        """What so many tokens of answer cost, with the rest."""
        return self.base - (-self.per_million * tokens // _MILLION)

    def affords(self, nanos: int) -> int | None:
        """How many tokens of answer an amount pays for; None: any number."""
        return max(nanos - self.base, 0) * _MILLION // self.per_million if self.per_million else None


def _rates(price: Price, input_tokens: int, tier: str) -> Iterable[tuple[Price | Rates, int]]:
    """All rates that may hold, each with the millionths it is multiplied with: a smaller prompt than the largest may be
    the dearer one, and a provider that has no room left in a service tier bills the usual one."""
    tiers = [each for each in price.service_tiers if tier in (each.name, ANY_TIER)] if tier else ()
    dearest = max([PPM, *(each.multiplier_ppm for each in tiers if not each.HasField("rates"))])
    yield price, dearest
    yield from ((rates, dearest) for rates in _of_large_prompts(price, input_tokens))
    for each in tiers:
        if each.HasField("rates"):
            yield each.rates, PPM
            yield from ((rates, PPM) for rates in _of_large_prompts(each, input_tokens))


def _of_large_prompts(priced: Price | ServiceTier, input_tokens: int) -> Iterable[Rates]:
    return (context.rates for context in priced.context_tiers if input_tokens > context.above_input_tokens)


def _dearest(rates: Price | Rates, *, beyond_text: bool) -> tuple[int, int]:
    """The dearest of what tokens of a prompt, and those of an answer, may be. What is absent is 0, and so never it."""
    prompt = max(
        rates.input_nanos_per_1m, rates.cached_input_nanos_per_1m,
        rates.cache_write_nanos_per_1m, rates.cache_write_1h_nanos_per_1m,
    )  # fmt: skip
    answer = max(rates.output_nanos_per_1m, rates.reasoning_nanos_per_1m)
    if beyond_text:
        prompt = max(prompt, rates.input_audio_nanos_per_1m, rates.input_image_nanos_per_1m)
        answer = max(answer, rates.output_audio_nanos_per_1m, rates.output_image_nanos_per_1m)
    return prompt, answer


def tokens_are_free(price: Price) -> bool:
    """Whether a call costs the same however many tokens it takes."""
    every: list[Price | Rates] = [price, *_every_rate(price.context_tiers, price.service_tiers)]
    return not any(any(_dearest(rates, beyond_text=True)) for rates in every)


def _every_rate(contexts: Iterable[ContextTier], services: Iterable[ServiceTier] = ()) -> Iterable[Rates]:
    yield from (context.rates for context in contexts)
    for service in services:
        yield service.rates
        yield from _every_rate(service.context_tiers)


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is reserved for a call, in nano-USD: `at_ease` where there is plenty, `usual` where there is not, and
    `least` rather than not to ask at all."""

    at_ease: int
    usual: int
    least: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a call may need. `choices` are how many answers it has, `cap` the client's own on the tokens of each (None:
    there is none). `capped`: what is reserved is its cap, since its tokens may be hidden, or it cannot be cut."""

    costs: Costs
    choices: int
    cap: int | None
    capped: bool

    def amounts(self, seen: Seen | None, too_few: int = 0) -> Amounts:
        """What to reserve. `seen` is what answers took lately; `too_few`: so many tokens were not enough before."""
        average = _FIRST_GUESS if seen is None else round(seen.average)
        longest = 0 if seen is None else round(1.25 * seen.peak)
        if self.capped:
            generous = self.cap if self.cap is not None else max(_GENEROUS, longest)
            tokens = (generous, max(_MODEST, longest), 2 * average)
        else:
            tokens = (average, max(average, longest), average)
        at_ease, usual, least = (self._amount(max(each, 2 * too_few, 1)) for each in tokens)
        return Amounts(at_ease, min(usual, at_ease) if self.capped else usual, min(least, usual))

    def _amount(self, tokens: int) -> int:
        return self.costs.of(self.choices * (tokens if self.cap is None else min(tokens, self.cap)))

    def cap_for(self, nanos: int) -> int | None:
        """The cap on the tokens of each answer that an amount pays for; None: the client's own is no larger, or none is
        needed."""
        affords = self.costs.affords(nanos) if self.capped else None
        if affords is None:
            return None
        each = max(affords // self.choices, 1)
        return None if self.cap is not None and self.cap <= each else each

    def needed(self, spoken: int, still_open: int) -> int:
        """What a call that is heard as it speaks needs: for what was said, and for what may be said meanwhile."""
        return self._with(spoken, max(_AHEAD, spoken // 4), still_open)

    def welcome(self, spoken: int, still_open: int) -> int:
        """The same, and enough not to need more soon."""
        return self._with(spoken, 3 * max(_AHEAD, spoken // 4), still_open)

    def _with(self, spoken: int, ahead: int, still_open: int) -> int:
        tokens = spoken + ahead
        if self.cap is not None:
            tokens = min(tokens, spoken + self.cap * still_open, self.cap * self.choices)
        return self.costs.of(tokens)


_AHEAD = 64
"""Tokens."""


def client_cap(chat: ChatRequest) -> int | None:
    """The client's cap on the tokens of each answer; None: there is none."""
    sampling = chat.sampling
    caps: list[int] = []
    if sampling.HasField("max_output_tokens"):
        caps.append(sampling.max_output_tokens)
    if sampling.HasField("max_tokens"):
        caps.append(sampling.max_tokens)
    return max(min(caps), 0) if caps else None


def capped(chat: ChatRequest, cap: int | None) -> ChatRequest:
    """The question with a cap of ours: under the name that the client used for its own, else under the one that counts
    hidden tokens, too."""
    if cap is None:
        return chat
    question = ChatRequest()
    question.CopyFrom(chat)
    sampling = question.sampling
    if sampling.HasField("max_tokens"):
        sampling.max_tokens = cap
    if sampling.HasField("max_output_tokens") or not sampling.HasField("max_tokens"):
        sampling.max_output_tokens = cap
    return question
