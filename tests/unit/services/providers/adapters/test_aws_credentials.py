from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth  # type: ignore[import-untyped]
import pytest
from aiohttp import web
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials  # type: ignore[import-untyped]
from botocore.exceptions import CredentialRetrievalError  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import MASK, redactor
from services.providers.adapters.aws_credentials import AwsCredentials, Keys, bedrock_base_url, signed
from services.providers.domain.wire import Outgoing

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = Keys("AKIDEXAMPLE", SECRET, "")
NOW = 1_700_000_000.0
CALL = Outgoing(
    "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude-v2:1/converse",
    b'{"messages": []}',
    {"content-type": "application/json", "accept": "application/json", "user-agent": "tollway", "traceparent": "x"},
)


@pytest.fixture(autouse=True)
def no_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine that the test runs on is found."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def by_botocore(call: Outgoing, keys: Keys, region: str, service: str, now: float) -> dict[str, str]:
    """The headers that botocore itself gives the same call at the same time."""
    kept = {name: value for name, value in call.headers.items() if name == "content-type"}
    request = AWSRequest(method=call.method, url=str(URL(call.url)), data=call.body, headers=kept)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: datetime.fromtimestamp(now, UTC))
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


MODELS = st.sampled_from(
    [
        "anthropic.claude-v2:1",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile%2Fa1b2",
        "arn%3Aaws%3Abedrock%2Fx%20y",
        "ä~!*'()",
    ]
)


@given(
    model=MODELS,
    body=st.binary(max_size=50),
    token=st.sampled_from(["", "IQoJb3JpZ2luX2VjE=="]),
    now=st.integers(0, 2**32),
    method=st.sampled_from(["GET", "POST"]),
    query=st.sampled_from(["", "?maxResults=1", "?b=2&a=%20x"]),
    port=st.sampled_from(["", ":443", ":8443"]),
)
def test_a_signature_is_botocore_s_own_of_the_same_call_at_the_same_time(
    model: str, body: bytes, token: str, now: int, method: str, query: str, port: str
) -> None:
    keys = KEYS._replace(session_token=token)
    call = CALL._replace(url=f"https://example.org{port}/model/{model}/converse{query}", body=body, method=method)
    theirs = by_botocore(call, keys, "eu-central-1", "bedrock", now)
    ours = signed(call, keys, "eu-central-1", "bedrock", now)
    for name in ("authorization", "x-amz-date", "x-amz-security-token"):
        assert ours.headers.get(name) == theirs.get(name)
    assert "content-type;host;x-amz-date" in ours.headers["authorization"]
    assert (ours.body, ours.method) == (body, method)


def test_what_is_signed_is_the_address_that_leaves() -> None:
    call = CALL._replace(url="https://h/model/arn%3Aaws%3Abedrock%3A%2Fx/converse")
    leaving = signed(call, KEYS, "r", "bedrock", NOW).url
    assert leaving == "https://h/model/arn:aws:bedrock:%2Fx/converse"
    assert str(URL(leaving)) == leaving


async def test_headers_that_may_change_on_the_way_are_sent_and_not_signed() -> None:
    call = await AwsCredentials(VirtualClock(), region="r", access_key_id="a", secret_access_key="b").sign(CALL)
    assert call.headers["user-agent"] == "tollway"
    assert call.headers["traceparent"] == "x"
    assert "SignedHeaders=content-type;host;x-amz-date," in call.headers["authorization"]


async def test_given_keys_sign_with_the_time_of_the_clock_and_nothing_is_looked_for() -> None:
    def find() -> None:
        raise AssertionError("nobody asked")

    clock = VirtualClock(NOW)
    credentials = AwsCredentials(
        clock, region="us-west-2", access_key_id="a", secret_access_key=SECRET, session_token="t", find=find
    )
    call = await credentials.sign(CALL)
    assert call.headers["x-amz-date"] == "20231114T221320Z"
    assert call.headers["x-amz-security-token"] == "t"
    assert "Credential=a/20231114/us-west-2/bedrock/aws4_request" in call.headers["authorization"]


async def test_an_api_key_of_the_environment_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x")
    call = await AwsCredentials(VirtualClock(), region="r").sign(CALL)
    assert call.headers["authorization"] == "Bearer bedrock-api-key-x"
    given_keys = AwsCredentials(VirtualClock(), region="r", access_key_id="a", secret_access_key="b")
    assert (await given_keys.sign(CALL)).headers["authorization"].startswith("AWS4-HMAC-SHA256")


class Vault:
    """Gives out keys that live an hour by the clock, and counts how often it was asked for new ones."""

    def __init__(self, clock: VirtualClock, lifetime: float = 3600.0) -> None:
        self.renewals = 0
        self.finds = 0
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()
        self._clock, self._lifetime = clock, lifetime

    def find(self) -> RefreshableCredentials:
        self.finds += 1
        made = self._metadata(0)
        return RefreshableCredentials(
            made["access_key"],
            made["secret_key"],
            made["token"],
            self._now() + timedelta(seconds=self._lifetime),
            self._renew,
            "vault",
            time_fetcher=self._now,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)

    def _renew(self) -> dict[str, str]:
        self.renewals += 1
        assert self.gate.wait(10)
        if self.broken:
            raise CredentialRetrievalError(provider="vault", error_msg=f"no more {SECRET}")
        return self._metadata(self.renewals)

    def _metadata(self, number: int) -> dict[str, str]:
        end = self._now() + timedelta(seconds=self._lifetime)
        return {
            "access_key": f"AKID{number}",
            "secret_key": SECRET,
            "token": f"token{number}",
            "expiry_time": end.isoformat(),
        }


def key_of(call: Outgoing) -> str:
    return call.headers["authorization"].partition("Credential=")[2].partition("/")[0]


async def renewed(credentials: AwsCredentials) -> None:
    """Until the look for new keys that is under way has ended."""
    assert credentials._renewal is not None
    await credentials._renewal
    await asyncio.sleep(0)


async def test_keys_are_looked_for_once_for_all_calls_that_wait_for_them() -> None:
    clock = VirtualClock()
    vault = Vault(clock)
    credentials = AwsCredentials(clock, region="r", find=vault.find)
    calls = await asyncio.gather(*(credentials.sign(CALL) for _ in range(50)))
    assert {key_of(call) for call in calls} == {"AKID0"}
    assert (vault.finds, vault.renewals) == (1, 0)


async def test_keys_are_renewed_before_they_expire_and_calls_go_on_with_the_old_ones_meanwhile() -> None:
    clock = VirtualClock()
    vault = Vault(clock)
    credentials = AwsCredentials(clock, region="r", find=vault.find)
    await credentials.sign(CALL)
    await clock.advance(3600 - 901)
    assert key_of(await credentials.sign(CALL)) == "AKID0"
    assert vault.renewals == 0

    await clock.advance(2)
    vault.gate.clear()
    meanwhile = await asyncio.gather(*(credentials.sign(CALL) for _ in range(20)))
    assert {key_of(call) for call in meanwhile} == {"AKID0"}
    vault.gate.set()
    await renewed(credentials)
    assert key_of(await credentials.sign(CALL)) == "AKID1"
    assert vault.renewals == 1


async def test_calls_wait_for_new_keys_where_the_old_ones_are_about_to_expire() -> None:
    clock = VirtualClock()
    vault = Vault(clock)
    credentials = AwsCredentials(clock, region="r", find=vault.find)
    await credentials.sign(CALL)
    await clock.advance(3600 - 599)
    calls = await asyncio.gather(*(credentials.sign(CALL) for _ in range(20)))
    assert {key_of(call) for call in calls} == {"AKID1"}
    assert calls[0].headers["x-amz-security-token"] == "token1"
    assert vault.renewals == 1


async def test_keys_that_cannot_be_renewed_are_used_until_the_last_ten_minutes_and_not_asked_for_all_the_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = VirtualClock()
    vault = Vault(clock)
    credentials = AwsCredentials(clock, region="r", find=vault.find)
    await credentials.sign(CALL)
    vault.broken = True
    await clock.advance(3600 - 890)
    assert key_of(await credentials.sign(CALL)) == "AKID0"
    await renewed(credentials)
    for _ in range(5):
        assert key_of(await credentials.sign(CALL)) == "AKID0"
        assert credentials._renewal is None
    assert vault.renewals == 1
    await clock.advance(31)
    await credentials.sign(CALL)
    await renewed(credentials)
    assert vault.renewals == 2

    await clock.advance(300)
    with pytest.raises(TollwayError) as caught:
        await credentials.sign(CALL)
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS
    assert "CredentialRetrievalError" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "failed" in caplog.text
    assert SECRET not in caplog.text

    vault.broken = False
    assert key_of(await credentials.sign(CALL)).startswith("AKID")


async def test_keys_that_were_refused_are_looked_for_again_and_not_all_the_time() -> None:
    clock = VirtualClock()
    vault = Vault(clock)
    credentials = AwsCredentials(clock, region="r", find=vault.find)
    await credentials.sign(CALL)
    credentials.refused()
    await credentials.sign(CALL)
    assert vault.finds == 1
    await clock.advance(31)
    credentials.refused()
    await asyncio.gather(*(credentials.sign(CALL) for _ in range(5)))
    assert vault.finds == 2


async def test_given_keys_are_all_there_is_though_they_were_refused() -> None:
    clock = VirtualClock()
    credentials = AwsCredentials(clock, region="r", access_key_id="a", secret_access_key="b")
    await clock.advance(100)
    credentials.refused()
    assert key_of(await credentials.sign(CALL)) == "a"


async def test_a_call_that_is_given_up_does_not_end_the_look_that_others_wait_for() -> None:
    clock = VirtualClock()
    found = threading.Event()

    def find() -> Any:
        assert found.wait(10)
        return ReadOnlyOnce()

    credentials = AwsCredentials(clock, region="r", find=find)
    impatient, patient = asyncio.create_task(credentials.sign(CALL)), asyncio.create_task(credentials.sign(CALL))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    found.set()
    assert impatient.cancelled()
    assert key_of(await patient) == "once"


class ReadOnlyOnce:
    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("once", SECRET, None)


async def test_the_event_loop_goes_on_while_keys_are_looked_for() -> None:
    found = threading.Event()

    def find() -> Any:
        assert found.wait(10)
        return ReadOnlyOnce()

    call = asyncio.create_task(AwsCredentials(VirtualClock(), region="r", find=find).sign(CALL))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not call.done()
    found.set()
    assert key_of(await call) == "once"


async def test_no_keys_anywhere_is_an_error_of_credentials() -> None:
    with pytest.raises(TollwayError, match="no AWS credentials are configured") as caught:
        await AwsCredentials(VirtualClock(), region="r").sign(CALL)
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS


async def test_a_profile_that_is_missing_is_named() -> None:
    with pytest.raises(TollwayError, match="nobody") as caught:
        await AwsCredentials(VirtualClock(), region="r", profile="nobody").sign(CALL)
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS


async def test_half_a_pair_of_keys_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    with pytest.raises(TollwayError, match="AWS_SECRET_ACCESS_KEY"):
        await AwsCredentials(VirtualClock(), region="r").sign(CALL)


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert key_of(await AwsCredentials(VirtualClock(), region="r").sign(CALL)) == "from-the-environment"


async def test_keys_that_were_found_are_told_nobody_wherever_they_turn_up(monkeypatch: pytest.MonkeyPatch) -> None:
    redact = redactor()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDFOUND")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "found+secret/1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "found+session/2")
    await AwsCredentials(VirtualClock(), region="eu-central-1").sign(CALL)
    assert redact("found+secret/1 and found+session/2") == f"{MASK} and {MASK}"


async def test_keys_come_from_a_profile(tmp_path: Path) -> None:
    lines = ["[work]", "aws_access_key_id = from-a-profile", f"aws_secret_access_key = {SECRET}"]
    (tmp_path / "credentials").write_text("\n".join(lines))
    assert key_of(await AwsCredentials(VirtualClock(), region="r", profile="work").sign(CALL)) == "from-a-profile"


async def test_keys_come_from_a_container_s_metadata_and_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"AccessKeyId": "from-metadata", "SecretAccessKey": SECRET, "Token": "t", "Expiration": end}
    async with serving({"/keys": keys}) as port:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
        call = await AwsCredentials(VirtualClock(), region="r").sign(CALL)
    assert key_of(call) == "from-metadata"
    assert call.headers["x-amz-security-token"] == "t"
    assert SECRET not in caplog.text


@asynccontextmanager
async def serving(answers: dict[str, Any]) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers[request.path])

    runner = web.AppRunner(web.Application())
    runner.app.router.add_get("/{tail:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_keys_do_not_show_in_a_text_form() -> None:
    assert SECRET not in repr(KEYS)
    assert SECRET not in str(KEYS)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1"])
def test_a_region_s_address_is_the_one_botocore_resolves(region: str) -> None:
    client = Session().create_client(
        "bedrock-runtime", region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert bedrock_base_url(region) == client.meta.endpoint_url


def test_botocore_costs_nothing_until_a_call_is_signed() -> None:
    code = (
        "import sys, services.providers.adapters.bedrock, services.providers.adapters.aws_credentials as a;"
        "from mesh.clock import SystemClock; a.AwsCredentials(SystemClock(), region='r');"
        "sys.exit('botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
