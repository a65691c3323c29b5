"""`tollway explain`: where a question would go, and why nowhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mesh.clock import SystemClock
from mesh.errors import TollwayError
from mesh.status import from_rpc_error
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2
from tollway.router.v1.router_pb2_grpc import RouterServiceStub
from tollway_cli.asking import Metadata, channel, metadata, sentence
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console

_TIMEOUT = 30.0
_CHARACTERS_PER_TOKEN = 4
_PICTURE = "https://example.com/picture.png"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say about the question. `key`, `project` and `tenant` say whose it is."""

    models: Sequence[str]
    message: str
    tokens: int
    tools: bool
    vision: bool
    json_schema: bool
    session: str
    tags: Sequence[str]
    key: str
    project: str
    tenant: str


def explain_request(asked: Asked) -> router_pb2.ExplainRouteRequest:
    """The question that the options describe."""
    text = asked.message.ljust(asked.tokens * _CHARACTERS_PER_TOKEN)
    said = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text=text)])
    if asked.vision:
        said.content.add().image.url = _PICTURE
    chat = chat_pb2.ChatRequest(model=asked.models[0], messages=[said])
    if asked.tools:
        chat.tools.add(type="function", name="anything")
    if asked.json_schema:
        chat.response_format.kind = chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA
    preferences = router_pb2.Preferences(models=asked.models[1:], session=asked.session)
    return router_pb2.ExplainRouteRequest(chat=chat, tags=asked.tags, preferences=preferences, streamed=True)


def explanation_view(model: str, explanation: router_pb2.ExplainRouteResponse) -> RenderableType:
    """What there is to say, as people read it."""
    needs = ", ".join(explanation.needs) or "nothing in particular"
    head = Text.assemble(
        (model, "bold"), f" → models.{explanation.route}, {explanation.strategy}; ",
        f"about {explanation.input_tokens:,} tokens, needs {needs}",
    )  # fmt: skip
    parts: list[RenderableType] = [head]
    if explanation.refusal:
        parts += [Text(), Text.assemble(("Refused: ", "bold red"), explanation.refusal)]
    if explanation.candidates or explanation.skipped:
        parts += [Text(), _candidates_table(explanation)]
    if explanation.rules:
        parts += [Text(), _rules_table(explanation.rules)]
    return Group(*parts)


def _candidates_table(explanation: router_pb2.ExplainRouteResponse) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("deployment", no_wrap=True)
    table.add_column("stands for", no_wrap=True)
    table.add_column("why", overflow="fold")
    for place, planned in enumerate(explanation.candidates, 1):
        name = Text(planned.deployment, style="green")
        table.add_row(str(place), name, Text(planned.stands_for), Text(planned.reason))
    for skipped in explanation.skipped:
        cells = (Text(text, style="dim") for text in (skipped.deployment, skipped.stands_for))
        table.add_row(Text("–", style="dim"), *cells, Text(skipped.reason, style="yellow"))
    return table


def _rules_table(rules: Sequence[router_pb2.RuleReport]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for rule in rules:
        if rule.error:
            table.add_row(Text("!", style="bold red"), Text(rule.name), Text(f"matched, but {rule.error}", style="red"))
        elif rule.matched:
            table.add_row(Text("✓", style="green"), Text(rule.name), Text(rule.effect))
        else:
            table.add_row(Text("·", style="dim"), Text(rule.name, style="dim"), Text("did not match", style="dim"))
    return table


def run_explain(asked: Asked, *, as_json: bool, connect: str, key: str, config: Path | None) -> None:
    if connect and (asked.key or asked.project or asked.tenant):
        refuse("--as-key, --project and --tenant are for the configuration alone: a router knows who asks it.")
    if not all(asked.models):
        refuse("MODEL must be a name.")
    request = explain_request(asked)
    try:
        explanation = asyncio.run(
            _of_router(connect, request, metadata(key), config)
            if connect
            else _of_configuration(config, asked, request)
        )
    except TollwayError as error:
        refuse(sentence(error))
    if as_json:
        from gateway_http.explanation import explanation_fields

        sys.stdout.write(orjson.dumps(explanation_fields(asked.models[0], explanation)).decode() + "\n")
        return
    console().print(explanation_view(asked.models[0], explanation))


async def _of_router(
    target: str, request: router_pb2.ExplainRouteRequest, shown: Metadata, config: Path | None
) -> router_pb2.ExplainRouteResponse:
    async with channel(target, config) as to_router:
        try:
            return await RouterServiceStub(to_router).ExplainRoute(request, metadata=shown, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


async def _of_configuration(
    config_file: Path | None, asked: Asked, request: router_pb2.ExplainRouteRequest
) -> router_pb2.ExplainRouteResponse:
    """What a router with the configuration would say that has just been started; none is."""
    from services.ledger.bootstrap import known_prices
    from services.ledger.settings import LedgerSettings
    from services.router.bootstrap import unstarted
    from services.router.settings import RouterSettings

    config = load_or_refuse(config_file)
    names = [key.name for key in config.keys]
    if asked.key and names and asked.key not in names:
        refuse(f"no key is called {asked.key}; there are {', '.join(names)}.")
    return await unstarted.explained(
        RouterSettings.from_config(config, Path()),
        request,
        key=asked.key,
        project=asked.project,
        tenant=asked.tenant,
        clock=SystemClock(),
        find_price=known_prices(LedgerSettings.from_config(config, Path())),
    )
