"""Going on with an answer that broke off after content was delivered: how, with whom, and with which question.

A deployment that goes on from a last message of the assistant's (prefill) is given what was said, and says the rest. It
has to be plain text, alone, with nothing in play that such a message cannot carry. Any other deployment is asked the
same question anew, and is of use only if it answers in the same words (`splice`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from mesh.errors import TollwayError
from services.router.domain.failures import TABLE, Midway
from services.router.domain.routes import Candidate, Plan
from services.router.domain.said import TEXT, Said
from services.router.domain.schedule import Tried, remaining
from services.router.domain.usage import tokens
from services.router.domain.verdict import Showed
from tollway.chat.v1.chat_pb2 import (
    RESPONSE_FORMAT_KIND_TEXT,
    ROLE_ASSISTANT,
    ChatRequest,
    ContentPart,
    Message,
    SamplingOptions,
    Usage,
)
from tollway.ledger.v1.ledger_pb2 import PROVENANCE_PROVIDER_REPORTED, Attempt
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL, CONTINUATION_SPLICE, Continuation

_NOT_PLAIN = ("audio", "function", "grammar", "guided", "reason", "schema", "think", "tool")
"""Words in the names of a dialect's own parameters that put more into play than plain text."""


@dataclass(frozen=True, slots=True)
class Way:
    """Who is asked to go on, by its place in the plan, and how."""

    index: int
    how: Continuation.ValueType


@dataclass(slots=True)
class Broken:
    """An answer that broke off: what has been delivered of it, what ended it last, and how it was gone on with so far.

    `calls` are those made to go on with it, `ways` how those of them went on that brought some of it, and `rows` the
    ledger's of the attempts that brought what is delivered.
    """

    said: Said
    showed: Showed
    calls: int = 0
    ways: list[Continuation.ValueType] = field(default_factory=list)
    rows: list[Attempt] = field(default_factory=list)

    def add(self, how: Continuation.ValueType | None, row: Attempt) -> None:
        """An attempt brought some of it. `how`: how it went on, None where it was the first."""
        if how is not None:
            self.ways.append(how)
        self.rows = self._with(how, row)

    def usage_with(self, how: Continuation.ValueType | None, row: Attempt) -> Usage:
        """What the whole answer took, now that an attempt has brought the rest of it."""
        return as_one(self._with(how, row))

    def _with(self, how: Continuation.ValueType | None, row: Attempt) -> list[Attempt]:
        # An answer that was joined by splicing has said everything itself.
        return [*self.rows, row] if how == CONTINUATION_PREFILL else [row]


def way_on(
    plan: Plan,
    tried: Tried,
    chat: ChatRequest,
    said: Said,
    failure: TollwayError,
    wait: Callable[[Candidate], float],
) -> Way | None:
    """How to go on after the candidate being asked showed `failure`; None: not at all.

    By prefill before anything else: on the same deployment, unless it fell silent or was asked to go on before, then on
    the others. `wait` says how many seconds a candidate is to be left alone for.
    """
    midway = TABLE[failure.reason].midway
    if midway is Midway.TELL or not said.kept or not said.characters:
        return None
    others = [index for index, candidate in remaining(plan, tried) if not wait(candidate)]
    if may_prefill(chat, said):
        again = midway in (Midway.CONTINUE, Midway.PREFILL) and tried.index not in tried.resumed
        same = [tried.index] if again and not wait(plan.candidates[tried.index]) else []
        for index in (*same, *others):
            if "prefill" in (plan.candidates[index].deployment.can or ()):
                return Way(index, CONTINUATION_PREFILL)
    return Way(others[0], CONTINUATION_SPLICE) if others and midway is not Midway.PREFILL else None


def may_prefill(chat: ChatRequest, said: Said) -> bool:
    """Whether what was said can stand as the beginning of an assistant's message that is gone on with."""
    texts = said.texts()
    return (
        set(texts) == {TEXT}
        and not texts[TEXT][-1:].isspace()
        and (chat.choice_count or 1) == 1
        and not chat.tools
        and not chat.reasoning_effort
        and not (chat.HasField("response_format") and chat.response_format.kind != RESPONSE_FORMAT_KIND_TEXT)
        and all(modality == "text" for modality in chat.modalities)
        and not _puts_more_into_play(chat.extra_json)
    )


def _puts_more_into_play(extra_json: bytes) -> bool:
    names = orjson.loads(extra_json) if extra_json else {}
    return any(word in name.lower() for name in names for word in _NOT_PLAIN)


def prefilled(chat: ChatRequest, said: Said) -> ChatRequest:
    """The question with what was said as the beginning of its answer, and that much less left to be said."""
    question = ChatRequest()
    question.CopyFrom(chat)
    _say(question.messages, said.texts()[TEXT])
    if question.HasField("sampling"):
        _take_off(question.sampling, tokens(said.characters))
    return question


def _say(messages: Sequence[Message], text: str) -> None:
    """As part of the last message where that is the assistant's: then the client has begun the answer itself."""
    last = messages[-1]
    if last.role != ROLE_ASSISTANT or last.tool_calls:
        last = messages.add(role=ROLE_ASSISTANT)  # type: ignore[attr-defined]  # a repeated field
    if last.content and last.content[-1].WhichOneof("part") == "text":
        last.content[-1].text += text
    else:
        last.content.append(ContentPart(text=text))


def _take_off(sampling: SamplingOptions, said: int) -> None:
    if sampling.HasField("max_output_tokens"):
        sampling.max_output_tokens = max(sampling.max_output_tokens - said, 1)
    if sampling.HasField("max_tokens"):
        sampling.max_tokens = max(sampling.max_tokens - said, 1)


def as_one(rows: Sequence[Attempt]) -> Usage:
    """What one answer would have taken that was said by several attempts, each going on where the last broke off.

    What was said counts in all of them, and the question once: as the first attempt's provider counted it, or, since
    one that breaks off seldom gets to that, as the last one's did, less what it was told had been said.
    """
    first, last = rows[0], rows[-1]
    whole = Usage()
    whole.CopyFrom(last.usage)
    for name in _OF_THE_ANSWER:
        setattr(whole, name, sum(getattr(row.usage, name) for row in rows))
    if first.provenance == PROVENANCE_PROVIDER_REPORTED or last.provenance != PROVENANCE_PROVIDER_REPORTED:
        for name in _OF_THE_QUESTION:
            setattr(whole, name, getattr(first.usage, name))
    else:
        said = sum(row.usage.output_tokens for row in rows[:-1])
        whole.input_tokens = max(last.usage.input_tokens - said, 0)
        whole.cached_input_tokens = min(last.usage.cached_input_tokens, whole.input_tokens)
    return whole


_OF_THE_QUESTION = (
    "input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens",
    "input_image_tokens",
)  # fmt: skip
_OF_THE_ANSWER = (
    "output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens", "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)  # fmt: skip
