"""How calls show who pays for them, as the configuration says, and that nobody else gets to see it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mesh.clock import Clock, VirtualClock
from mesh.config.defaults import with_defaults
from mesh.config.schema import Config
from mesh.errors import TollwayError
from services.providers.domain.wire import Outgoing
from tests.unit.services.providers.house import House, open_house
from tests.unit.services.providers.upstream import Exchange, upstream
from tollway_cli.configuration import known_providers, secrets

ANSWER = b'{"id":"c-1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}'
SECRET = "opaque/secret-0123456789"


async def answer(exchange: Exchange) -> None:
    await exchange.whole(ANSWER)


def told(house: House, error: TollwayError | None = None) -> str:
    """All that came out of a call beside its answer."""
    spans = [(span.name, dict(span.attributes)) for span in house.telemetry.spans]
    return repr(spans) + (repr(error) + str(error) + repr(error.metadata) if error else "")


def target(request: str) -> str:
    return request.split(" ")[1]


async def test_a_key_in_the_url_is_in_no_span_and_no_error() -> None:
    async def quoting(exchange: Exchange) -> None:
        asked = exchange.request.split(b" ")[1]
        await exchange.whole(b'{"error":{"message":"bad url ' + asked + b'"}}', "400 Bad Request")

    async with upstream(quoting) as server:
        provider = {"base_url": server.url, "api_key": SECRET, "credentials": {"kind": "query", "name": "key"}}
        async with open_house({"p": provider}) as house:
            error = await house.error("m", "p")
            assert target(server.requests[0]) == f"/v1/chat/completions?key={SECRET}"
            assert error.message.startswith("bad url /v1/chat/completions?key=")
            assert "secret-0123456789" not in told(house, error)


async def test_a_key_in_the_url_is_in_no_error_of_a_connection() -> None:
    provider = {"base_url": "http://127.0.0.1:1/v1", "api_key": SECRET, "credentials": {"kind": "query", "name": "key"}}
    async with open_house({"p": provider}) as house:
        assert "secret-0123456789" not in told(house, await house.error("m", "p"))


async def test_a_key_can_go_in_a_header_of_a_name() -> None:
    async with upstream(answer) as server:
        provider = {"base_url": server.url, "api_key": SECRET, "credentials": {"kind": "header", "name": "X-Proxy-Key"}}
        async with open_house({"p": provider}) as house:
            await house.create("m", "p")
            headers = server.headers()
            assert (headers["x-proxy-key"], headers.get("authorization")) == (SECRET, None)


async def test_a_key_of_a_file_is_the_one_that_is_in_it_now(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first-of-the-keys")
    async with (
        upstream(answer) as server,
        open_house({"p": {"base_url": server.url, "api_key_file": str(path)}}) as house,
    ):
        await house.create("m", "p")
        path.write_text("the-second-of-the-keys")
        await house.create("m", "p")
        shown = [server.headers(number)["authorization"] for number in (0, 1)]
        assert shown == ["Bearer first-of-the-keys", "Bearer the-second-of-the-keys"]


async def test_without_its_file_a_call_does_not_leave(tmp_path: Path) -> None:
    async with upstream(answer) as server:
        provider = {"base_url": server.url, "api_key_file": str(tmp_path / "none")}
        async with open_house({"p": provider}) as house:
            error = await house.error("m", "p")
            assert (error.reason.value, error.metadata["provider"]) == ("UPSTREAM_CREDENTIALS", "p")
            assert server.requests == []


def counting(count: Path) -> list[str]:
    """A program that prints another key each time."""
    program = f"p = __import__('pathlib').Path({str(count)!r}); n = len(p.read_text()) if p.exists() else 0; "
    return [sys.executable, "-c", program + "p.write_text('x' * (n + 1)); print(f'opaque-printed-{n + 1}')"]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_program_is_asked_anew_for_a_key_that_is_not_taken_and_its_keys_are_kept_out_of_errors(
    tmp_path: Path, status: str
) -> None:
    async def only_the_second(exchange: Exchange) -> None:
        shown = next(line for line in exchange.request.split(b"\r\n") if line.startswith(b"authorization"))
        if shown.endswith(b"-2"):
            await exchange.whole(ANSWER)
        else:
            await exchange.whole(b'{"error":{"message":"invalid API key: ' + shown + b'"}}', status)

    command, clock = counting(tmp_path / "count"), VirtualClock()
    async with upstream(only_the_second) as server:
        provider = {"base_url": server.url, "api_key_command": command, "api_key_ttl": "1h"}
        async with open_house({"p": provider}, clock) as house:
            error = await house.error("m", "p")
            assert error.reason.value == "UPSTREAM_CREDENTIALS"
            assert "opaque-printed" not in told(house, error)
            await clock.advance(6)
            assert await house.error("m", "p")  # the one that is told that the key is no longer taken
            assert (await house.create("m", "p")).chat.id == "c-1"


async def test_a_403_about_something_else_is_no_reason_to_ask_for_another_key(tmp_path: Path) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.whole(b'{"error":{"message":"not in your country"}}', "403 Forbidden")

    count, clock = tmp_path / "count", VirtualClock()
    async with upstream(refuse) as server:
        provider = {"base_url": server.url, "api_key_command": counting(count), "api_key_ttl": "1h"}
        async with open_house({"p": provider}, clock) as house:
            for _ in range(3):
                assert (await house.error("m", "p")).reason.value == "UPSTREAM_FORBIDDEN"
                await clock.advance(6)
    assert count.read_text() == "x"


class Signer:
    """Stands in for what signs for an account."""

    def __init__(self, clock: Clock, **given: str) -> None:
        self.given = given

    async def sign(self, call: Outgoing) -> Outgoing:
        return call._replace(headers={**call.headers, "authorization": f"signed {sorted(self.given.items())}"})


@pytest.fixture
def signers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Modules in place of those that stand on AWS's and Google's libraries; where they say that the provider is."""
    places: dict[str, str] = {}
    aws, google = ModuleType("aws"), ModuleType("google")
    vars(aws).update(AwsCredentials=Signer, bedrock_base_url=lambda region: places["aws"] + f"/{region}")
    vars(google).update(
        GoogleCredentials=Signer, vertex_base_url=lambda project, location: places["google"] + f"/{project}/{location}"
    )
    monkeypatch.setitem(sys.modules, "services.providers.adapters.aws_credentials", aws)
    monkeypatch.setitem(sys.modules, "services.providers.adapters.google_credentials", google)
    return places


@pytest.mark.parametrize(
    ("kind", "credentials", "path", "signed"),
    [
        (
            "aws",
            {"region": "eu-central-1", "profile": "work"},
            "/eu-central-1/chat/completions",
            "signed [('profile', 'work'), ('region', 'eu-central-1')]",
        ),
        (
            "google",
            {"project": "my-project", "location": "global", "credentials_file": "/k.json"},
            "/my-project/global/chat/completions",
            "signed [('credentials_file', '/k.json')]",
        ),
    ],
)
async def test_accounts_sign_and_say_where_the_provider_is(
    signers: dict[str, str], kind: str, credentials: dict[str, str], path: str, signed: str
) -> None:
    async with upstream(answer) as server:
        signers[kind] = f"http://127.0.0.1:{server.port}"
        async with open_house({"p": {"credentials": {"kind": kind, **credentials}}}) as house:
            await house.create("m", "p")
            assert target(server.requests[0]) == path
            assert server.headers()["authorization"] == signed


async def test_entras_tokens_are_asked_for_where_the_configuration_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    class Entra:
        def get_token(self, scope: str) -> Any:
            return type("Token", (), {"token": f"for {scope}", "expires_on": 2**40})

    def credential(*given: str) -> Entra:
        made.append(given)
        return Entra()

    monkeypatch.setattr("services.providers.adapters.entra_credentials._credential", credential)
    entra = {"kind": "entra", "tenant": "t", "client_id": "c", "client_secret": "s", "scope": "mine"}
    async with upstream(answer) as server:
        provider = {"dialect": "azure", "base_url": f"http://127.0.0.1:{server.port}", "credentials": entra}
        async with open_house({"p": provider}) as house:
            await house.create("gpt-4o", "p")
            await house.create("gpt-4o", "p")
            assert made == [("t", "c", "s")]
            assert server.headers()["authorization"] == "Bearer for mine"
            assert "api-key" not in server.headers()


def test_the_secrets_of_credentials_are_among_those_that_no_log_line_shows() -> None:
    credentials = {"secret_access_key": "aws-secret", "session_token": "aws-session", "client_secret": "entra-secret"}
    config = Config.model_validate({"providers": {"p": {"api_key": "plain", "credentials": credentials}}})
    assert {"plain", *credentials.values()} <= set(secrets(config))


async def test_a_preset_is_called_as_it_wants_to_be() -> None:
    bodies: list[dict[str, Any]] = []

    async def recording(exchange: Exchange) -> None:
        bodies.append(json.loads(exchange.body))
        await answer(exchange)

    async with upstream(recording) as server:
        config = Config.model_validate({"providers": {"mistral": {"base_url": server.url, "api_key": SECRET}}})
        held = with_defaults(config, {}, known_providers()).providers["mistral"]
        async with open_house({"mistral": held}) as house:
            await house.create("m", "mistral", sampling={"max_output_tokens": 5, "seed": 7}, user="u-1")
            assert server.headers()["authorization"] == f"Bearer {SECRET}"
            said = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "random_seed": 7}
            assert bodies == [{"model": "m", **said}]


async def test_aws_signs_with_the_keys_of_the_configuration_and_tells_nobody_the_secret() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.whole(b'{"message":"bad signature for wJalrXUtnFEMI/K7MDENG"}', "403 Forbidden")

    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG", "session_token": "FwoGZXIv"}
    async with upstream(refuse) as server:
        aws = {"kind": "aws", "region": "eu-central-1", **keys}
        provider = {"dialect": "bedrock", "base_url": f"http://127.0.0.1:{server.port}", "credentials": aws}
        async with open_house({"p": provider}) as house:
            error = await house.error("some.model", "p")
            headers = server.headers()
            assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert "/eu-central-1/bedrock/aws4_request" in headers["authorization"]
            assert headers["x-amz-security-token"] == "FwoGZXIv"
            assert "bad signature" in error.message
            assert not any(secret in told(house, error) for secret in ("wJalrXUtnFEMI", "FwoGZXIv"))
