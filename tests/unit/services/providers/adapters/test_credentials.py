"""Keys: where in a call they go, and where they come from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mesh.clock import SystemClock, VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import MASK, redactor
from services.providers.adapters.credentials import (
    FixedKey,
    KeyCredentials,
    KeyFile,
    command_key,
    key_headers,
    place_of,
)
from services.providers.domain.wire import Outgoing

CALL = Outgoing("https://a.example.com/v1/chat", b"{}", {"accept": "*/*"})


def printing(text: str, *after: str) -> list[str]:
    """A program that writes the text, and then does what is said."""
    return [sys.executable, "-c", "\n".join((f"import sys; sys.stdout.write({text!r}); sys.stdout.flush()", *after))]


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("bearer", {"authorization": "Bearer k-1"}),
        ("api-key", {"api-key": "k-1"}),
        ("x-api-key", {"x-api-key": "k-1"}),
        ("x-goog-api-key", {"x-goog-api-key": "k-1"}),
        ("header", {"x-mine": "k-1"}),
        ("query", {}),
    ],
)
def test_a_key_that_stays_the_same_is_a_header(kind: str, headers: dict[str, str]) -> None:
    assert key_headers(place_of(kind, "X-Mine"), "k-1") == headers
    assert key_headers(place_of(kind, "X-Mine"), "") == {}


async def test_a_key_that_may_change_is_put_in_when_the_call_leaves() -> None:
    signed = await KeyCredentials(place_of("bearer"), FixedKey("k-1")).sign(CALL)
    assert signed == CALL._replace(headers={"accept": "*/*", "authorization": "Bearer k-1"})


@pytest.mark.parametrize(("url", "joint"), [(CALL.url, "?"), (f"{CALL.url}?v=1", "&")])
async def test_a_key_can_be_a_part_of_the_url(url: str, joint: str) -> None:
    signed = await KeyCredentials(place_of("query", "key"), FixedKey("a+b/c&d")).sign(CALL._replace(url=url))
    assert signed == CALL._replace(url=f"{url}{joint}key=a%2Bb%2Fc%26d")


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first-key\n")
    file = KeyFile(path)
    assert await file.get() == await file.get() == "first-key"
    path.write_text("other-key\n")
    os.utime(path, ns=(1, 1))  # as long as the first, and older: neither size nor age says that it is another
    assert await file.get() == "other-key"
    path.with_name("new").write_text("third-key\n")
    path.with_name("new").replace(path)
    assert await file.get() == "third-key"


@pytest.mark.parametrize("content", ["", " \n", "two words", "kéy", "a" * 70_000])
async def test_a_file_without_a_key_is_an_error_that_does_not_quote_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(TollwayError, match="has no key in it") as caught:
        await KeyFile(tmp_path / "key").get()
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS
    assert "words" not in str(caught.value)


async def test_a_file_that_is_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    with pytest.raises(TollwayError, match=r"key cannot be read: No such file"):
        await file.get()
    (tmp_path / "key").write_text("back-again")
    assert await file.get() == "back-again"


async def test_a_program_is_run_again_when_its_key_expires_or_was_refused(tmp_path: Path) -> None:
    count = tmp_path / "count"
    program = f"p = __import__('pathlib').Path({str(count)!r}); n = len(p.read_text()) if p.exists() else 0; "
    command = [sys.executable, "-c", program + "p.write_text('x' * (n + 1)); print(f'printed-key-{n + 1}')"]
    clock = VirtualClock()
    key = command_key(command, 60.0, clock)
    assert [await key.get(), await key.get()] == ["printed-key-1", "printed-key-1"]
    await clock.advance(60)
    assert await key.get() == "printed-key-2"
    await clock.advance(10)
    key.refused()
    assert await key.get() == "printed-key-3"
    assert len(count.read_text()) == 3


async def test_what_a_program_complains_of_is_in_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "import sys; sys.stderr.write('token sk-hidden is bad'); sys.exit(3)"]
    with pytest.raises(TollwayError) as caught:
        await command_key(command, 60.0, SystemClock()).get()
    assert caught.value.message == f"the program {Path(sys.executable).name}, which prints the key, ended with status 3"
    assert "sk-hidden" not in "".join(capfd.readouterr())


async def test_a_program_that_prints_nothing_in_time_is_ended_with_whatever_it_started(tmp_path: Path) -> None:
    held, script = tmp_path / "held", tmp_path / "slow.sh"
    os.mkfifo(held)
    script.write_text(f"exec 3> {held}\nsleep 600\necho late-key\n")
    reading = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TollwayError, match=r"the program sh printed no key within 0.3s"):
        await command_key(["sh", str(script)], 60.0, SystemClock(), limit=0.3).get()
    os.set_blocking(reading, True)
    assert os.read(reading, 1) == b""  # as soon as nobody is left who could write
    os.close(reading)


async def test_a_program_that_never_stops_printing_is_not_waited_for() -> None:
    with pytest.raises(TollwayError, match="has no key in it"):
        await command_key(printing("", "while True: print('x' * 1000)"), 60.0, SystemClock()).get()


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(TollwayError, match=r"the program nowhere, .* cannot be run: No such file") as caught:
        await command_key(["/no/such/nowhere", "--token", "sk-hidden"], 60.0, SystemClock()).get()
    assert "sk-hidden" not in str(caught.value)


async def test_keys_that_became_known_later_are_kept_out_of_what_is_logged(tmp_path: Path) -> None:
    redact = redactor()
    (tmp_path / "key").write_text("opaque/0123456789")
    await KeyFile(tmp_path / "key").get()
    await command_key(printing("opaque-9876543210"), 60.0, SystemClock()).get()
    said = redact("with opaque/0123456789 or opaque%2F0123456789 or opaque-9876543210")
    assert said == f"with {MASK} or {MASK} or {MASK}"


def test_no_key_shows_in_a_text_form() -> None:
    assert "k-123" not in repr(KeyCredentials(place_of("bearer"), FixedKey("k-123"))) + repr(FixedKey("k-123"))
