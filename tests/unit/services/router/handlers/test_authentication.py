from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import Reason, TollwayError
from mesh.mediator import Mediator, Query, messages_in, when
from services.router import handlers
from services.router.domain.keyring import Key, Keyring
from services.router.domain.principal import LOCAL, Principal, Role
from services.router.domain.routes import Deployment
from services.router.handlers.authentication import Authentication, Permission
from services.router.handlers.behaviors import Validation, is_question
from services.router.handlers.caller import FromCaller
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import answer, chat, streamed
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.router.v1.router_pb2 import Preferences

SECRET = "tw-canary-0123456789"
PRINCIPALS = {
    SECRET: Principal("acme", "demo", "ci", tags=("nightly", "team:search")),
    "narrow": Principal("acme", "demo", "narrow", models=("gpt", "claude-*")),
    "elsewhere": Principal("acme", "demo", "elsewhere", models=("other",)),
    "operator": Principal("acme", "demo", "ops", role=Role.OPERATOR),
}


class LookAround(FromCaller, Query[str]):
    """What only an operator may ask."""

    needs: ClassVar[Role] = Role.OPERATOR


async def look_around(query: LookAround) -> str:
    return query.principal.key


def mediator(bench: Bench, *, keys: bool = True) -> Mediator:
    ring = Keyring(Key(hashlib.sha256(key.encode()).digest(), who) for key, who in PRINCIPALS.items())
    listed = partial(list_models, routes=bench.routes, providers=bench.providers, loaded=Timestamp())
    composed: list[tuple[type, Callable[[Any], Any]]] = [
        (CreateChatCompletion, partial(create_chat_completion, desk=bench.desk)),
        (StreamChatCompletion, partial(stream_chat_completion, desk=bench.desk)),
        (ListModels, listed),
        (LookAround, look_around),
    ]
    known = [Authentication(ring, bench.clock)] if keys else []
    return Mediator(composed, behaviors=[*known, when(is_question, Validation(max_messages=2048)), Permission()])


def question(
    kind: type[Any] = CreateChatCompletion,
    key: str = SECRET,
    request: ChatRequest | None = None,
    tags: Sequence[str] = (),
    models: Sequence[str] = (),
    credentials: str | None = None,
) -> Any:
    shown = f"Bearer {key}" if credentials is None else credentials
    return kind(request or chat(), "req-1", tags, PARENT, None, Preferences(models=models), credentials=shown)


async def send(bench: Bench, message: Any, *, keys: bool = True) -> Any:
    """The whole answer, or the first message of a streamed one."""
    if not isinstance(message, StreamChatCompletion):
        return await mediator(bench, keys=keys).send(message)
    async with aclosing(mediator(bench, keys=keys).stream(message)) as responses:
        messages = [response async for response in responses]
        return messages[0]


async def refusal(bench: Bench, message: Any, *, keys: bool = True) -> TollwayError:
    with pytest.raises(TollwayError) as refused:
        await send(bench, message, keys=keys)
    return refused.value


KINDS = pytest.mark.parametrize("kind", [CreateChatCompletion, StreamChatCompletion])


def test_whoever_sends_any_of_the_router_s_messages_can_be_asked_who_they_are() -> None:
    assert [kind.__name__ for kind in messages_in(handlers) if not issubclass(kind, FromCaller)] == []


@KINDS
@pytest.mark.parametrize("credentials", ["", "Bearer unknown", f"Basic {SECRET}"])
async def test_a_question_of_nobody_reaches_nobody(bench: Bench, kind: type[Any], credentials: str) -> None:
    bench.deploy(a=[streamed()])
    refused = await refusal(bench, question(kind, credentials=credentials))
    assert refused.reason is Reason.UNAUTHENTICATED
    assert SECRET not in refused.message
    assert refused.metadata == {"trace_id": "a" * 32, "attempts": "0"}
    assert (bench.providers.calls, bench.journal.opens, bench.tracer.spans) == ([], {}, [])


async def test_who_asks_is_found_out_before_what_is_asked_is_looked_at(bench: Bench) -> None:
    refused = await refusal(bench, question(request=ChatRequest(), credentials=""))
    assert refused.reason is Reason.UNAUTHENTICATED


@pytest.mark.parametrize("message", [ListModels(0, ""), LookAround()])
async def test_every_other_message_takes_a_key_as_well(bench: Bench, message: Any) -> None:
    assert (await refusal(bench, message)).reason is Reason.UNAUTHENTICATED


@KINDS
async def test_the_row_says_on_whose_account_it_was_asked(bench: Bench, kind: type[Any]) -> None:
    bench.deploy(a=[answer() if kind is CreateChatCompletion else streamed()])
    await send(bench, question(kind, tags=["mine", "nightly"]))
    (row,) = bench.journal.rows
    assert (row.tenant, row.project, row.api_key_id) == ("acme", "demo", "ci")
    assert list(row.tags) == ["mine", "nightly", "team:search"]


async def test_the_span_of_the_operation_says_it_too(bench: Bench) -> None:
    bench.deploy(a=[answer()])
    await mediator(bench).send(question())
    (operation,) = [span for span in bench.tracer.spans if span.name.startswith("chat ")]
    said = {name: operation.attributes[f"tollway.{name}"] for name in ("tenant", "project", "key")}
    assert said == {"tenant": "acme", "project": "demo", "key": "ci"}


@KINDS
@pytest.mark.parametrize("where", ["model", "candidate"])
async def test_a_key_asks_only_for_the_models_that_it_may_its_own_candidates_included(
    bench: Bench, kind: type[Any], where: str
) -> None:
    bench.deploy(a=[answer()])
    asked = {
        "model": question(kind, "narrow", chat("gpt-5-pro")),
        "candidate": question(kind, "narrow", models=["claude-sonnet", "gpt-5-pro"]),
    }[where]
    refused = await refusal(bench, asked)
    assert refused.reason is Reason.PERMISSION_DENIED
    assert refused.message.startswith("The key narrow may not ask for the model 'gpt-5-pro'.")
    assert refused.metadata == {"request_id": "req-1", "trace_id": "a" * 32, "attempts": "0"}
    assert (bench.providers.calls, bench.journal.opens) == ([], {})


async def test_where_the_configuration_falls_back_to_is_not_the_key_s_to_permit(bench: Bench) -> None:
    failing = TollwayError(Reason.UPSTREAM_FORBIDDEN, "no")
    bench.deploy(Deployment("a", "m"), fallback=Deployment("b", "m"), a=[failing], b=[answer()])
    response = await mediator(bench).send(question(key="narrow"))
    assert response.receipt.deployment == "b/m"


async def test_a_question_without_a_model_is_told_to_name_one(bench: Bench) -> None:
    refused = await refusal(bench, question(key="narrow", request=ChatRequest(messages=chat().messages)))
    assert refused.reason is Reason.INVALID_REQUEST


async def test_a_long_name_is_not_repeated_whole(bench: Bench) -> None:
    refused = await refusal(bench, question(key="narrow", models=["x" * 10_000]))
    assert len(refused.message) < 400


@pytest.mark.parametrize(("key", "listed"), [("narrow", ["gpt"]), ("elsewhere", ["other"]), (SECRET, ["gpt", "other"])])
async def test_a_key_is_shown_the_models_that_it_may_ask_for(bench: Bench, key: str, listed: list[str]) -> None:
    bench.deploy(Deployment("a", "m"), fallback=Deployment("b", "m"))
    page = await mediator(bench).send(ListModels(0, "", credentials=f"Bearer {key}"))
    assert [model.name for model in page.models] == listed


async def test_what_is_an_operator_s_to_ask_is_denied_to_a_caller(bench: Bench) -> None:
    refused = await refusal(bench, LookAround(credentials=f"Bearer {SECRET}"))
    assert refused.reason is Reason.PERMISSION_DENIED
    assert refused.message == "LookAround takes a key with the role operator; ci has the role caller."
    assert await mediator(bench).send(LookAround(credentials="Bearer operator")) == "ops"


async def test_where_there_are_no_keys_everybody_is_this_machine_s_admin(bench: Bench) -> None:
    bench.deploy(a=[answer(), answer()])
    for credentials in ("", "Bearer none"):
        await mediator(bench, keys=False).send(question(credentials=credentials))
    assert {row.api_key_id for row in bench.journal.rows} == {"local"}
    assert await mediator(bench, keys=False).send(LookAround()) == LOCAL.key


async def test_a_key_shows_in_no_log_and_in_no_picture_of_a_message(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.deploy(a=[answer()])
    with caplog.at_level(logging.DEBUG):
        await mediator(bench).send(question())
        await refusal(bench, question(credentials=f"Basic {SECRET}"))
        await refusal(bench, question(key=f"{SECRET}x"))
    assert "CreateChatCompletion was refused: What came with this call is not one API key" in caplog.text
    assert SECRET not in caplog.text + repr(question()) + repr(bench.tracer.spans) + str(bench.journal.rows)
