"""Access tokens from a token endpoint on loopback; when they end is in virtual time.

The endpoint lives in the event loop of the tests: were it blocked while a token is fetched, none would ever come.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.credentials import Credentials

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import MASK, redactor
from services.providers.adapters.google_credentials import CLOUD_PLATFORM, GoogleCredentials, vertex_base_url
from services.providers.domain.wire import Outgoing

# The file is the operator's own, who may configure what google-auth warns of: credentials of any type.
pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")

CALL = Outgoing("https://vertex.test/v1/x", b"{}", {"content-type": "application/json"})
KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


class TokenEndpoint:
    """Gives out `token-1`, `token-2`, … for an hour each; while `refusal` is set, that in their place."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.refusal: Any = None
        self.open = asyncio.Event()
        self.open.set()

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(claims(str(form["assertion"])))
        token = f"token-{len(self.asked)}"
        await self.open.wait()
        if self.refusal is not None:
            return web.json_response(self.refusal, status=400)
        return web.json_response({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})


def claims(assertion: str) -> dict[str, Any]:
    """What a signed JWT says."""
    body = assertion.split(".")[1]
    said: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenEndpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tokens = TokenEndpoint()
    app = web.Application()
    app.router.add_post("/token", tokens.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tokens.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield tokens
    await runner.cleanup()


@pytest.fixture
def key_file(endpoint: TokenEndpoint, tmp_path: Path) -> str:
    path = tmp_path / "key.json"
    key = {
        "type": "service_account",
        "project_id": "alps",
        "private_key_id": "k1",
        "private_key": KEY,
        "client_email": "gateway@alps.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": endpoint.url,
    }
    path.write_text(json.dumps(key))
    return str(path)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def credentials(clock: VirtualClock, key_file: str) -> GoogleCredentials:
    return GoogleCredentials(clock, credentials_file=key_file)


async def token_of(credentials: GoogleCredentials) -> str:
    """The token that a call is signed with now."""
    async with asyncio.timeout(10):
        return (await credentials.sign(CALL)).headers["authorization"].removeprefix("Bearer ")


async def refusal_of(credentials: GoogleCredentials) -> TollwayError:
    with pytest.raises(TollwayError) as caught:
        await token_of(credentials)
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS
    return caught.value


async def until(so: Callable[[], bool]) -> None:
    """Lets the loop turn: what is waited for happens in a thread, and in google-auth's own time."""
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 - conditions are of any kind
            await asyncio.sleep(0)


async def test_a_service_account_s_key_becomes_a_token_and_the_call_stays_as_it_was(
    credentials: GoogleCredentials, endpoint: TokenEndpoint
) -> None:
    signed = await credentials.sign(CALL)
    assert signed == CALL._replace(headers={**CALL.headers, "authorization": "Bearer token-1"})
    assert "authorization" not in CALL.headers
    (asked,) = endpoint.asked
    assert (asked["iss"], asked["scope"]) == ("gateway@alps.iam.gserviceaccount.com", CLOUD_PLATFORM)


async def test_many_calls_at_once_ask_for_one_token(credentials: GoogleCredentials, endpoint: TokenEndpoint) -> None:
    assert await asyncio.gather(*(token_of(credentials) for _ in range(50))) == ["token-1"] * 50
    assert len(endpoint.asked) == 1


async def test_a_token_is_used_until_shortly_before_it_ends(
    credentials: GoogleCredentials, endpoint: TokenEndpoint, clock: VirtualClock
) -> None:
    await token_of(credentials)
    await clock.advance(3600 - 240)
    assert await token_of(credentials) == "token-1"
    assert len(endpoint.asked) == 1


async def test_a_token_is_renewed_before_it_ends_while_calls_go_on_with_it(
    credentials: GoogleCredentials, endpoint: TokenEndpoint, clock: VirtualClock
) -> None:
    await token_of(credentials)
    await clock.advance(3600 - 200)
    endpoint.open.clear()
    assert [await token_of(credentials) for _ in range(20)] == ["token-1"] * 20
    await until(lambda: len(endpoint.asked) == 2)
    assert await token_of(credentials) == "token-1"
    endpoint.open.set()
    renewal = credentials._renewal
    assert renewal is not None
    await renewal
    assert await token_of(credentials) == "token-2"
    assert len(endpoint.asked) == 2


async def test_a_token_that_has_ended_is_not_used_again(
    credentials: GoogleCredentials, endpoint: TokenEndpoint, clock: VirtualClock
) -> None:
    await token_of(credentials)
    await clock.advance(3600)
    assert await asyncio.gather(*(token_of(credentials) for _ in range(20))) == ["token-2"] * 20
    assert len(endpoint.asked) == 2


async def test_a_renewal_that_fails_is_told_and_tried_again_and_hurts_only_once_there_is_no_token_left(
    credentials: GoogleCredentials, endpoint: TokenEndpoint, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "services.providers")
    await token_of(credentials)
    endpoint.refusal = {"error": "invalid_grant"}
    await clock.advance(3600 - 200)
    assert await token_of(credentials) == "token-1"
    await until(lambda: bool(caplog.records))
    assert await token_of(credentials) == "token-1"
    assert len(endpoint.asked) == 2  # not at every call
    await clock.advance(10)
    assert await token_of(credentials) == "token-1"
    await until(lambda: len(endpoint.asked) == 3)
    await clock.advance(190)
    await refusal_of(credentials)
    endpoint.refusal = None
    assert (await token_of(credentials)).startswith("token-")


async def test_who_leaves_while_waiting_takes_nobody_s_token_along(
    credentials: GoogleCredentials, endpoint: TokenEndpoint
) -> None:
    endpoint.open.clear()
    leaving, staying = (asyncio.create_task(token_of(credentials)) for _ in range(2))
    await until(lambda: len(endpoint.asked) == 1)
    leaving.cancel()
    endpoint.open.set()
    assert await staying == "token-1"
    assert leaving.cancelled()
    assert len(endpoint.asked) == 1


async def test_a_refusal_is_told_to_all_who_wait_by_its_name_alone(
    credentials: GoogleCredentials, endpoint: TokenEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.refusal = {"error": "invalid_grant", "error_description": f"bad assertion: {KEY}"}
    errors = await asyncio.gather(*(refusal_of(credentials) for _ in range(5)))
    assert len(endpoint.asked) == 1
    for error in errors:
        assert error.message == "no access token could be had from Google (RefreshError: invalid_grant)"
        assert error.metadata == {"upstream_type": "RefreshError", "upstream_code": "invalid_grant"}
        assert error.__cause__ is None
    assert "assertion" not in caplog.text


@pytest.mark.parametrize("content", [None, "sk-not-json", '{"type": "sk-unknown"}', '{"type": "service_account"}'])
async def test_a_file_that_holds_no_credentials_is_told_without_a_word_of_it(
    content: str | None, clock: VirtualClock, tmp_path: Path
) -> None:
    path = tmp_path / "sk-name.json"
    if content is not None:
        path.write_text(content)
    error = await refusal_of(GoogleCredentials(clock, credentials_file=str(path)))
    assert error.message.startswith("no access token could be had from Google (")
    assert "sk-" not in str(error)
    assert "sk-" not in str(error.metadata)


async def test_without_a_file_the_environment_says_whose_credentials_they_are(
    clock: VirtualClock, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key_file)
    assert await token_of(GoogleCredentials(clock)) == "token-1"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key_file + ".gone")
    error = await refusal_of(GoogleCredentials(clock))
    assert error.metadata == {"upstream_type": "DefaultCredentialsError"}


class Given(Credentials):
    """Credentials that somebody else made: their tokens do not end."""

    refreshed = 0

    def refresh(self, request: object) -> None:
        self.refreshed += 1
        self.token = "given"


async def test_credentials_that_are_given_are_used_as_they_are(clock: VirtualClock) -> None:
    given = Given()  # type: ignore[no-untyped-call]
    given._quota_project_id = "alps"
    credentials = GoogleCredentials(clock, given=given)
    signed = await credentials.sign(CALL)
    await clock.advance(10**6)
    assert await credentials.sign(CALL) == signed
    assert given.refreshed == 1
    assert signed.headers == {**CALL.headers, "authorization": "Bearer given", "x-goog-user-project": "alps"}


def test_google_s_library_is_not_imported_before_there_is_something_to_sign() -> None:
    program = (
        "import sys; from services.providers.adapters import google_credentials as g; "
        "from mesh.clock import SystemClock; g.GoogleCredentials(SystemClock()); "
        "sys.exit('google.auth' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_vertex_is_asked_at_its_location_in_the_project(location: str, host: str) -> None:
    place = f"projects/alps/locations/{location}/publishers/google"
    assert vertex_base_url("alps", location) == f"https://{host}/v1/{place}"


def test_no_location_is_the_global_one_and_no_project_is_none() -> None:
    assert vertex_base_url("alps", "") == vertex_base_url("alps", "global")
    with pytest.raises(ValueError, match="project"):
        vertex_base_url("", "global")


def test_a_location_or_project_can_name_no_other_host_or_path() -> None:
    url = vertex_base_url("a/../b", "x.test/?")
    assert url.startswith("https://x.test%2F%3F-aiplatform.googleapis.com/v1/projects/a%2F..%2Fb/locations/")


async def test_a_token_that_was_refused_is_not_shown_again(credentials: GoogleCredentials, clock: VirtualClock) -> None:
    assert await token_of(credentials) == "token-1"
    credentials.refused()  # though it was just fetched: what is wrong is not its age
    assert await token_of(credentials) == "token-1"
    await clock.advance(60)
    credentials.refused()
    assert await token_of(credentials) == "token-2"


async def test_no_token_is_told_wherever_it_turns_up(credentials: GoogleCredentials) -> None:
    redact = redactor()
    token = await token_of(credentials)
    assert redact(f"refused: {token}!") == f"refused: {MASK}!"
