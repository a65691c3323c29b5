"""Tokens of Microsoft Entra."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import NamedTuple

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import MASK, redactor
from services.providers.adapters.entra_credentials import EntraCredentials
from services.providers.domain.wire import Outgoing

CALL = Outgoing("https://eu.openai.azure.com/openai/v1/chat/completions", b"{}", {"accept": "*/*"})


class Token(NamedTuple):
    token: str
    expires_on: int


class Authority:
    """Stands in for azure-identity: gives tokens that hold for an hour, and remembers the last one as it does."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self.error: Exception | None = None

    def make(self) -> Authority:
        self._remembered: Token | None = None
        return self

    def get_token(self, scope: str) -> Token:
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        if self._remembered is None or self._remembered.expires_on - self._clock.time() < 400:
            self.asked.append(scope)
            self._remembered = Token(f"entra-token-{len(self.asked)}", int(self._clock.time()) + 3600)
        return self._remembered


async def settled(clock: VirtualClock) -> None:
    """Lets a thread that was asked answer."""
    await asyncio.to_thread(lambda: None)
    await clock.advance(0)


def credentials(**fields: str) -> tuple[EntraCredentials, Authority, VirtualClock]:
    clock = VirtualClock()
    authority = Authority(clock)
    return EntraCredentials(clock, make=authority.make, **fields), authority, clock


async def token_of(entra: EntraCredentials) -> str:
    return (await entra.sign(CALL)).headers["authorization"]


async def test_one_token_serves_many_calls_and_is_asked_for_in_a_thread() -> None:
    entra, authority, _ = credentials()
    signed = await asyncio.gather(*(entra.sign(CALL) for _ in range(20)))
    assert {call.headers["authorization"] for call in signed} == {"Bearer entra-token-1"}
    assert signed[0] == CALL._replace(headers={"accept": "*/*", "authorization": "Bearer entra-token-1"})
    assert authority.asked == ["https://cognitiveservices.azure.com/.default"]
    assert threading.get_ident() not in authority.threads


async def test_the_scope_can_be_another() -> None:
    entra, authority, _ = credentials(scope="https://ai.azure.com/.default")
    await entra.sign(CALL)
    assert authority.asked == ["https://ai.azure.com/.default"]


async def test_a_token_is_renewed_before_it_expires() -> None:
    entra, authority, clock = credentials()
    await entra.sign(CALL)
    await clock.advance(3250)
    assert await token_of(entra) == "Bearer entra-token-1"
    while len(authority.asked) < 2:
        await settled(clock)
    await settled(clock)
    assert await token_of(entra) == "Bearer entra-token-2"


async def test_a_token_that_was_refused_is_not_the_remembered_one_again() -> None:
    entra, _, clock = credentials()
    await entra.sign(CALL)
    await clock.advance(10)
    entra.refused()
    assert await token_of(entra) == "Bearer entra-token-2"


async def test_an_error_says_what_kind_it_is_and_quotes_nothing_else() -> None:
    entra, authority, _ = credentials()
    authority.error = RuntimeError("AADSTS7000215: Invalid client secret 'hunter2-secret' for app 1234")
    with pytest.raises(TollwayError) as caught:
        await entra.sign(CALL)
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS
    assert caught.value.message == "Entra gave no token: RuntimeError AADSTS7000215"


async def test_no_token_is_logged_or_shown() -> None:
    redact = redactor()
    entra, _, _ = credentials()
    token = (await token_of(entra)).removeprefix("Bearer ")
    assert redact(f"got {token}!") == f"got {MASK}!"
    assert "hunter2" not in repr(EntraCredentials(VirtualClock(), client_secret="hunter2"))


def test_azures_library_makes_the_credential_that_was_configured_and_is_imported_no_sooner() -> None:
    program = (
        "import sys; from services.providers.adapters import entra_credentials as entra\n"
        "assert not any(name.partition('.')[0] in ('azure', 'msal') for name in sys.modules), 'imported'\n"
        "names = [type(entra._credential(*given)).__name__ for given in "
        "(('t', 'c', 's'), ('', '', ''), ('t', 'c', ''))]\n"
        "assert names == ['ClientSecretCredential', 'DefaultAzureCredential', 'DefaultAzureCredential'], names"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
