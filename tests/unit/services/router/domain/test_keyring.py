from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, TollwayError
from services.router.domain.keyring import Key, Keyring
from services.router.domain.principal import Principal

SECRET, OLD = "tw-canary-0123456789", "tw-canary-expired-012"
CI, NIGHTLY = Principal("acme", "demo", "ci"), Principal("acme", "demo", "nightly")
NOW = 1_700_000_000.0


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


RING = Keyring([Key(digest(SECRET), CI), Key(digest(OLD), NIGHTLY, NOW)])


def refusal(credentials: str, now: float = NOW) -> str:
    with pytest.raises(TollwayError) as refused:
        RING.identify(credentials, now)
    assert refused.value.reason is Reason.UNAUTHENTICATED
    return refused.value.message


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_a_key_that_is_known_says_who_asks(scheme: str) -> None:
    assert RING.identify(scheme + SECRET, NOW) is CI


def test_a_key_is_good_until_it_expires() -> None:
    assert RING.identify(f"Bearer {OLD}", NOW - 0.001) is NIGHTLY
    assert refusal(f"Bearer {OLD}") == "The API key nightly expired at 2023-11-14 22:13:20 UTC: ask for a new one."


def test_no_key_another_key_and_something_else_are_told_apart() -> None:
    missing, unknown, malformed = refusal(""), refusal("Bearer tw-another"), refusal(f"Basic {SECRET}")
    assert missing.startswith("No API key came with this call: send one as `authorization: Bearer <key>`")
    assert unknown.startswith("This API key is not known here")
    assert malformed.startswith("What came with this call is not one API key: send one as")


@pytest.mark.parametrize(
    "credentials",
    [
        SECRET,
        f"Basic {SECRET}",
        f"Bearer{SECRET}",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}, Bearer {OLD}",
        f"Bearer {SECRET} {SECRET}",
        f"Bearer Bearer {SECRET}",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET.upper()}",
        f"Bearer {digest(SECRET).hex()}",
        "Bearer \udcff\udcfe",
        "Bearer é",
        "Bearer " + "x" * 100_000,
    ],
)
def test_what_is_no_key_of_the_ring_is_refused_and_never_repeated(credentials: str) -> None:
    message = refusal(credentials)
    assert "canary" not in message.lower()
    assert len(message) < 200


@given(st.text())
def test_nothing_but_the_keys_themselves_opens(credentials: str) -> None:
    with pytest.raises(TollwayError):
        RING.identify(credentials, NOW)
