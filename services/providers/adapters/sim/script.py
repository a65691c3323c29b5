"""What goes over the wire and when: the one script that memory and TCP both play.

A script is a lazy sequence of steps: a head (status and headers), bytes, pauses, and where it does not end well, how it
ends. So a slow reader slows the model down. What takes a while to make is made beside the event loop: others need that.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum, auto
from secrets import token_hex
from typing import NamedTuple

import orjson

from mesh.config.schema import SimOptions
from services.providers.adapters.sim import wire
from services.providers.adapters.sim.answered import Answered
from services.providers.adapters.sim.behaviour import Behaviour, NoSuchModel, behaviour
from services.providers.adapters.sim.endpoints import ENDPOINTS, is_long, read_fields
from services.providers.adapters.sim.question import BadQuestion, Question, read_question
from services.providers.adapters.sim.reply import Reply, replies
from services.providers.domain.json_objects import Json

CHAT = "/chat/completions"
_MOST_KEYS = 1024
_PING = 0.1
_TOGETHER = 16 * 2**10
_SMALL = 16 * 2**10
"""Bytes, to be read and to be said, that are less work than it is to have them made elsewhere."""
_BESIDE = ThreadPoolExecutor(1, "sim")
"""One at a time: each thread that computes takes its share of the event loop's time."""
_EMPTY_STATUSES = (304,)
_TYPES = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("not_found_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    529: ("overloaded_error", None),
}


class Head(NamedTuple):
    """Status line and headers."""

    status: int
    headers: dict[str, str]


class Pause(NamedTuple):
    seconds: float


class End(Enum):
    """How a script ends that does not just end."""

    CUT = auto()
    """The connection is closed, and what was announced does not come."""
    RESET = auto()
    HANG = auto()
    """Nothing more happens, for as long as the other side likes."""


class Beside(Enum):
    """Comes before a step that takes a while to make."""

    NEXT = auto()


Step = Head | bytes | Pause | End
Steps = Iterator[Step | Beside]


async def following(steps: Steps) -> Step | None:
    """The script's next step, made beside the event loop where that takes a while; None where it has ended."""
    step = next(steps, None)
    while step is Beside.NEXT:
        step = await asyncio.get_running_loop().run_in_executor(_BESIDE, next, steps, None)
    return step


class Model:
    """The model: a request's body in, a script out. It remembers nothing but how often a flaky one was asked."""

    def __init__(self, options: SimOptions) -> None:
        self._options = options
        self._asked: OrderedDict[str, int] = OrderedDict()

    def script(
        self, body: bytes, client_id: str = "", path: str = CHAT, content_type: str = "application/json"
    ) -> Steps:
        """What the model does with this request, under the id that its client gave it, or else one of its own."""
        return _together(_identified(self._steps(body, path, content_type), f"sim-{client_id or token_hex(8)}"))

    def _steps(self, body: bytes, path: str, content_type: str) -> Steps:
        try:
            yield from self._chat(body) if path == CHAT else self._elsewhere(path, content_type, body)
        except BadQuestion as bad:
            yield from _failure(400, str(bad), "invalid_request_error", param=bad.param)
        except NoSuchModel as unknown:
            yield from _failure(404, str(unknown), "invalid_request_error", "model_not_found", "model")

    def _chat(self, body: bytes) -> Steps:
        if len(body) > _SMALL:
            yield Beside.NEXT
        question = read_question(body)
        asked = self._behaviour(question.model)
        if fault := self._fault(asked, question.model):
            yield from fault
            return
        if len(body) <= _SMALL < _heft(question, asked, len(body)):
            yield Beside.NEXT
        said = replies(question, asked)
        tells = asked.kind != "no-usage" and (question.include_usage or not question.stream)
        usage = wire.usage_of(question, said) if tells else None
        yield from (_stream if question.stream else _json)(question, asked, said, usage)

    def _elsewhere(self, path: str, content_type: str, body: bytes) -> Steps:
        answer = ENDPOINTS.get(path)
        if answer is None:
            yield from _failure(404, f"There is nothing at {path}.", "invalid_request_error")
            return
        if len(body) > _SMALL:
            yield Beside.NEXT
        fields = read_fields(content_type, body)
        model = fields.get("model") or ""
        if not isinstance(model, str):
            raise BadQuestion("'model' must be a text.", "model")
        asked = self._behaviour(model)
        if fault := self._fault(asked, model):
            yield from fault
            return
        if len(body) <= _SMALL and is_long(path, fields):
            yield Beside.NEXT
        yield from _given(answer(fields), asked)

    def _behaviour(self, model: str) -> Behaviour:
        asked = behaviour(model, self._options)
        if asked.fail and not self._fails_now(asked, model):
            asked = replace(asked, kind="text")
        return asked

    def _fault(self, asked: Behaviour, name: str) -> Iterator[Step] | None:
        """What happens in place of an answer. None: nothing does."""
        match asked.kind:
            case "status" | "flaky":
                return _status(asked)
            case "silence":
                return iter((End.HANG,))
            case "reset":
                return iter((End.RESET,))
            case "error-body":
                return _failure(200, "The server had an error while it worked on your request.", "server_error")
            case "context-length":
                return _failure(
                    400,
                    "This model's maximum context length is 4096 tokens, and your messages have more.",
                    "invalid_request_error",
                    "context_length_exceeded",
                    "messages",
                )
            case "content-filter":
                return _failure(
                    400, "The question was refused by the content filter.", "invalid_request_error", "content_filter"
                )
            case "model-not-found":
                return _failure(
                    404, f"The model `{name}` does not exist.", "invalid_request_error", "model_not_found", "model"
                )
        return None

    def _fails_now(self, asked: Behaviour, name: str) -> bool:
        before = self._asked.pop(name, 0)
        self._asked[name] = before + 1
        if len(self._asked) > _MOST_KEYS:
            self._asked.popitem(last=False)
        return before % (asked.fail + 1) < asked.fail


def _given(answered: Answered, asked: Behaviour) -> Iterator[Step]:
    """An answer that is no conversation, with what befalls it: in place of its content, or after half of it."""
    yield Pause(asked.ttft)
    body = b"".join(answered.pieces)
    headers = {"content-type": answered.content_type}
    if len(answered.pieces) == 1:
        headers["content-length"] = str(len(body))
    yield Head(200, headers)
    match asked.kind:
        case "silence-after-headers":
            yield End.HANG
        case "cut" | "stall":
            yield body[: len(body) // 2]
            yield End.CUT if asked.kind == "cut" else End.HANG
        case "malformed":
            yield body[: len(body) // 2].ljust(len(body))
        case _:
            for place, piece in enumerate(answered.pieces):
                if place:
                    yield Pause(_gap(asked))
                yield piece


def _heft(question: Question, asked: Behaviour, size: int) -> int:
    """How much there is to read and to say, in bytes or so."""
    each = size + 8 * asked.tokens
    if question.tools or question.response_format or question.top_logprobs is not None:
        each *= 10 * max(asked.calls, 1)
    return question.choices * each


def _json(question: Question, asked: Behaviour, said: tuple[Reply, ...], usage: Json | None) -> Iterator[Step]:
    body = wire.completion(question, said, usage)
    yield Pause(asked.ttft + _gap(asked) * max(len(reply.tokens) for reply in said))
    if asked.kind == "error-event":
        body = orjson.dumps(_broken())
    if asked.kind == "malformed":
        body = body[: len(body) // 2]
    yield Head(200, {"content-type": "application/json", "content-length": str(len(body))})
    match asked.kind:
        case "silence-after-headers" | "silence-after-role":
            yield End.HANG
        case "pings":
            yield from _for_ever(b" ")
        case "cut" | "stall":
            yield body[: len(body) // 2]
            yield End.CUT if asked.kind == "cut" else End.HANG
        case _:
            yield body


def _stream(question: Question, asked: Behaviour, said: tuple[Reply, ...], usage: Json | None) -> Iterator[Step]:
    yield Head(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})
    if asked.kind == "silence-after-headers":
        yield End.HANG
    if asked.kind == "pings":
        yield from _for_ever(b": ping\n\n")
    yield Pause(asked.ttft)
    yield from wire.opening(question, said)
    if asked.kind == "silence-after-role":
        yield End.HANG
    fault = _mid_stream(asked.kind)
    for position, events in enumerate(wire.rounds(question, said)):
        if position:
            yield Pause(_gap(asked))
        if position == asked.after:
            yield from fault
            if asked.kind == "error-event":
                return
        yield events
    if asked.after >= max(len(reply.tokens) for reply in said):
        yield from fault
    yield from wire.closing(question, said, usage)
    if asked.kind != "no-done":
        yield b"data: [DONE]\n\n"


def _mid_stream(kind: str) -> tuple[Step, ...]:
    match kind:
        case "cut":
            return (End.CUT,)
        case "stall":
            return (End.HANG,)
        case "malformed":
            return (b'data: {"id": "chatcmpl-1", "choices": [{"index"\n\n',)
        case "error-event":
            return (wire.event(_broken()),)
    return ()


def _gap(asked: Behaviour) -> float:
    return 1 / asked.rate if asked.rate else 0.0


def _broken() -> Json:
    return wire.error("The server had an error while it worked on your request.", "server_error")


def _for_ever(said: bytes) -> Iterator[Step]:
    while True:
        yield said
        yield Pause(_PING)


def _status(asked: Behaviour) -> Iterator[Step]:
    kind, code = _TYPES.get(asked.status, ("server_error" if asked.status >= 500 else "invalid_request_error", None))
    headers = {"retry-after": asked.retry_after} if asked.retry_after else {}
    return _failure(asked.status, f"Answered {asked.status}, as asked.", kind, code, headers=headers)


def _failure(
    status: int,
    message: str,
    kind: str,
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[Step]:
    body = b"" if status in _EMPTY_STATUSES else orjson.dumps(wire.error(message, kind, code, param))
    yield Head(status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})})
    yield body


def _identified(steps: Steps, request_id: str) -> Steps:
    for step in steps:
        yield step._replace(headers={**step.headers, "x-request-id": request_id}) if isinstance(step, Head) else step


def _together(steps: Steps) -> Steps:
    """The steps, with bytes that no pause comes between joined: what is ready together is sent together."""
    ready: list[bytes] = []
    size = 0
    for step in steps:
        if isinstance(step, Pause) and not step.seconds:
            continue
        if isinstance(step, bytes):
            ready.append(step)
            size += len(step)
            if size < _TOGETHER:
                continue
        if ready:
            yield b"".join(ready)
            ready, size = [], 0
        if not isinstance(step, bytes):
            yield step
            if isinstance(step, End):
                return
    if ready:
        yield b"".join(ready)
