"""A provider is one file and one folder of fixtures: those of docs/adding-a-provider.md are added, and called."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import services.providers.adapters
import services.providers.presets
from docs import providers as page_of_providers
from mesh.config.defaults import with_defaults
from mesh.config.load import load
from mesh.config.problems import ConfigError
from mesh.config.schema import Config
from mesh.errors import Reason, TollwayError
from services.providers.domain.features import FEATURES
from tests.providers import test_fixtures as runner
from tests.unit.services.providers.house import open_house, text_of
from tests.unit.services.providers.upstream import Exchange, upstream
from tollway_cli.configuration import known_providers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text()
FIXTURE = ("request.json", "upstream_request.json", "dropped.json", "upstream.sse", "expected.json")

Adds = Callable[[ModuleType, str, str], None]


def printed(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adds]:
    """Puts a file beside those of a package, as far as the package can tell."""
    before = set(sys.modules)

    def add(package: ModuleType, name: str, text: str) -> None:
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / name).write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    yield add
    for module in set(sys.modules) - before:
        if module.startswith("services.providers.adapters.parrot"):
            del sys.modules[module]
            vars(services.providers.adapters).pop("parrot", None)


@pytest.fixture
def parrot(adds: Adds) -> None:
    (source,) = printed("python")
    adds(services.providers.adapters, "parrot.py", source)


@pytest.fixture
def parakeet(adds: Adds) -> None:
    (source,) = printed("toml")
    adds(services.providers.presets, "parakeet.toml", source)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Config]:
    """What a file comes to."""

    def read(text: str, **environ: str) -> Config:
        path = tmp_path / "tollway.yaml"
        path.write_text(text)
        return with_defaults(load(path, environ, known_providers()), environ, known_providers())

    return read


Configured = Callable[..., Config]


@pytest.mark.usefixtures("parrot")
def test_the_fixtures_of_a_new_dialect_are_run_like_all_others(tmp_path: Path) -> None:
    case = tmp_path / "fixtures" / "parrot" / "plain_stream"
    case.mkdir(parents=True)
    question, sent, dropped, expected = printed("json")
    (stream,) = printed("text")
    for name, content in zip(FIXTURE, (question, sent, dropped, stream, expected), strict=True):
        (case / name).write_text(content)
    runner.test_a_recorded_call_means_what_its_fixture_says(case)
    runner.test_a_truncated_stream_is_never_reported_as_finished(case)
    (case / "expected.json").write_text(expected.replace("Hello!", "Bye!"))
    with pytest.raises(AssertionError):
        runner.test_a_recorded_call_means_what_its_fixture_says(case)


@pytest.mark.usefixtures("parrot")
def test_a_configuration_can_name_a_new_dialect(configured: Configured) -> None:
    assert configured("providers: {polly: {dialect: parrot}}").providers["polly"].dialect == "parrot"
    with pytest.raises(ConfigError, match=r"no dialect is called parot; did you mean parrot\?"):
        configured("providers: {polly: {dialect: parot}}")
    assert "services.providers.adapters.parrot" not in sys.modules


def test_without_its_file_a_dialect_is_not_there(configured: Configured) -> None:
    with pytest.raises(ConfigError, match="no dialect is called parrot"):
        configured("providers: {polly: {dialect: parrot}}")


@pytest.mark.usefixtures("parrot")
async def test_a_provider_with_a_new_dialect_is_called(configured: Configured) -> None:
    async def answer(exchange: Exchange) -> None:
        if json.loads(exchange.body)["stream"]:
            await exchange.head()
            await exchange.chunk(printed("text")[0].encode())
            await exchange.chunk(b"")
        elif json.loads(exchange.body)["bird"] == "grey":
            await exchange.whole(b'{"id": "p-1", "text": "Hello!", "stopped": "end", "heard": 3, "spoken": 2}')
        else:
            await exchange.whole(b"no such bird", "404 Not Found")

    async with upstream(answer) as server:
        text = f"providers: {{polly: {{dialect: parrot, base_url: '{server.url}', api_key: nuts-and-seeds}}}}"
        async with open_house(dict(configured(text).providers)) as house:
            assert text_of(await house.stream("grey", "polly")) == "Hello!"
            chat = (await house.create("grey", "polly")).chat
            assert (chat.choices[0].message.content[0].text, chat.usage.output_tokens) == ("Hello!", 2)
            assert server.requests[0].startswith("POST /v1/say ")
            assert server.headers()["authorization"] == "Bearer nuts-and-seeds"
            with pytest.raises(TollwayError, match="no such bird") as caught:
                await house.create("dodo", "polly")
            assert caught.value.reason is Reason.UPSTREAM_MODEL_NOT_FOUND


def test_every_name_of_what_can_be_supported_is_printed() -> None:
    assert [name for name in FEATURES if f"`{name}`" not in PAGE] == []


@pytest.mark.usefixtures("parrot", "parakeet")
def test_the_page_of_providers_has_new_ones() -> None:
    rows = {row.name: row for row in page_of_providers.rows()}
    assert rows["parrot"].supports == {"chat", "stream", "system"}
    assert rows["parakeet"].supports >= {"chat", "tools", "vision", "logprobs"}
    assert not rows["parakeet"].supports & {"embeddings", "logit_bias", "developer"}
    assert "| `parakeet` | Parakeet | openai | `https://api.parakeet.example/v1` | `PARAKEET_API_KEY` |" in (
        page_of_providers.page(rows.values())
    )


@pytest.mark.usefixtures("parakeet")
def test_a_new_presets_name_is_enough(configured: Configured) -> None:
    found = configured("providers: {parakeet: }", PARAKEET_API_KEY="pk-1").providers["parakeet"]
    assert (found.dialect, found.base_url) == ("openai", "https://api.parakeet.example/v1")
    assert found.api_key.get_secret_value() == "pk-1"
    assert list(configured("", PARAKEET_API_KEY="pk-1").providers) == ["sim", "parakeet"]


@pytest.mark.usefixtures("parakeet")
async def test_a_provider_with_a_new_preset_is_called_as_it_wants_to_be(configured: Configured) -> None:
    bodies: list[dict[str, object]] = []

    async def answer(exchange: Exchange) -> None:
        bodies.append(json.loads(exchange.body))
        await exchange.whole(b'{"id":"c-1","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}')

    async with upstream(answer) as server:
        provider = configured("providers: {bird: {preset: parakeet}}", PARAKEET_API_KEY="pk-1").providers["bird"]
        near = provider.model_copy(update={"base_url": server.url})
        async with open_house({"bird": near}) as house:
            await house.create("m", "bird", sampling={"max_output_tokens": 9}, user="u-1")
            assert server.headers()["authorization"] == "Bearer pk-1"
            assert bodies == [{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}]
            error = await house.error("m", "bird", sampling={"logit_bias": {"1": 2.0}})
            assert error.reason.value == "UNSUPPORTED_FEATURE"
