from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from mesh.errors import FieldViolation, Reason, TollwayError
from mesh.mediator import Mediator, when
from services.router.handlers.behaviors import Validation, is_question
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import answer, chat, streamed
from tollway.chat.v1.chat_pb2 import ChatRequest, Message, Role


def mediator(bench: Bench, max_messages: int = 2048) -> Mediator:
    handlers: list[tuple[type, Callable[[Any], Any]]] = [
        (CreateChatCompletion, partial(create_chat_completion, desk=bench.desk)),
        (StreamChatCompletion, partial(stream_chat_completion, desk=bench.desk)),
    ]
    return Mediator(handlers, behaviors=[when(is_question, Validation(max_messages))])


async def test_a_question_that_cannot_be_asked_reaches_nobody(bench: Bench) -> None:
    bench.deploy(a=[answer()])
    wrong = (ChatRequest(model="gpt"), "req-1", [":tag"], PARENT, None)
    with pytest.raises(TollwayError) as whole:
        await mediator(bench).send(CreateChatCompletion(*wrong))
    with pytest.raises(TollwayError) as stream:
        async with aclosing(mediator(bench).stream(StreamChatCompletion(*wrong))) as responses:
            await anext(responses)
    for refused in (whole.value, stream.value):
        assert refused.reason is Reason.INVALID_REQUEST
        assert [violation.field for violation in refused.violations] == ["chat.messages", "tags[0]"]
        assert refused.metadata == {"request_id": "req-1", "trace_id": "a" * 32, "attempts": "0"}
    assert bench.providers.calls == []
    assert bench.journal.opens == {}


async def test_a_conversation_of_more_messages_than_are_taken_reaches_nobody(bench: Bench) -> None:
    bench.deploy(a=[answer(), answer()])
    asked = ChatRequest(model="gpt", messages=[Message(role=Role.ROLE_USER)] * 3)
    with pytest.raises(TollwayError) as refused:
        await mediator(bench, max_messages=2).send(CreateChatCompletion(asked, "req-1", [], PARENT, None))
    assert refused.value.violations == (FieldViolation("chat.messages", "are 3; at most 2 are accepted"),)
    await mediator(bench, max_messages=3).send(CreateChatCompletion(asked, "req-1", [], PARENT, None))


async def test_a_request_id_that_is_not_fit_to_be_shown_is_not_shown(bench: Bench) -> None:
    with pytest.raises(TollwayError) as refused:
        await mediator(bench).send(CreateChatCompletion(chat(), "a\r\nset-cookie: b", [], PARENT, None))
    assert [violation.field for violation in refused.value.violations] == ["request_id"]
    assert "request_id" not in refused.value.metadata


async def test_a_question_that_can_be_asked_is(bench: Bench) -> None:
    bench.deploy(a=[streamed()])
    right: tuple[ChatRequest, str, list[str], None, None] = (chat(), "req-1", [], None, None)
    await mediator(bench).send(CreateChatCompletion(*right))
    messages = [message async for message in mediator(bench).stream(StreamChatCompletion(*right))]
    assert messages[-1].receipt.attempts == 1
